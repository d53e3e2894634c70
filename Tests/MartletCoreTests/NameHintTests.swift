import MartletCore
import Testing

/// What is meant by a name that nobody knows.
@Suite struct NameHintTests {
    static let known = ["to", "ttl", "collapseKey", "limits.messageBytes", "limits.jsonDepth", "--listen", "MARTLET_JSON_DEPTH"]

    @Test(arguments: [
        ("tll", "ttl"), ("collapse_key", "collapseKey"), ("CollapseKey", "collapseKey"), ("colapsKey", "collapseKey"),
        ("--lisetn", "--listen"), ("limits.mesageBytes", "limits.messageBytes"), ("jsonDepth", "limits.jsonDepth"),
        ("JSONDEPTH", "limits.jsonDepth"), ("MARTLET_JSON_DEPHT", "MARTLET_JSON_DEPTH"),
    ])
    func theNearestIsFound(typed: String, meant: String) {
        #expect(NameHint.nearest(typed, among: Self.known) == meant)
    }

    @Test(arguments: ["", "x", "--", "priority", "limits", "depth", String(repeating: "ttl", count: 100_000)])
    func whatIsFarFromAllIsNotGuessed(typed: String) {
        #expect(NameHint.nearest(typed, among: Self.known) == nil)
    }
}
