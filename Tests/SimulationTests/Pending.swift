import Testing

@Suite struct SimulationPending {}
