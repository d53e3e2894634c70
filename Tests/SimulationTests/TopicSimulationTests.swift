import MartletTestSupport
import Testing

@Suite struct TopicSimulationTests {
    @Test func promisesHoldInRandomHistoriesOfTopics() async { await check(Simulation.topics) }

    @Test func aSeedGivesTheSameHistory() { checkSeeds(Simulation.topics) }

    @Test(arguments: TopicCanary.allCases) func aBrokenRuleIsCaughtByItsOwnCheck(_ canary: TopicCanary) { check(canary, Simulation.topics) }
}
