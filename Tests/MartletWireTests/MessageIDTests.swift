import MartletWire
import Testing

struct MessageIDTests {
    @Test func text() {
        let id = MessageID(milliseconds: 0x0197_f0c4_9c3e, counter: 0xa51, random: 0x0e0f_1b2c_3d4e_5f60)
        #expect(id.description == "0197f0c4-9c3e-7a51-8e0f-1b2c3d4e5f60")
        #expect(id.milliseconds == 0x0197_f0c4_9c3e)
        #expect(MessageID(id.description) == id)
        #expect(MessageID("0197F0C4-9C3E-7A51-8E0F-1B2C3D4E5F60") == id)
        // Version and variant stand whatever the random bits are.
        #expect(
            MessageID(milliseconds: 1, counter: .max, random: .max).description
                == "00000000-0001-7fff-bfff-ffffffffffff")
    }

    @Test(arguments: [
        "", "0197f0c4", "0197f0c49c3e7a518e0f1b2c3d4e5f60", "0197f0c4-9c3e-7a51-8e0f-1b2c3d4e5f6",
        "0197f0c4-9c3e-7a51-8e0f-1b2c3d4e5f600",
        "0197f0c4-9c3e-7a51-8e0f-1b2c3d4e5f6g", "0197f0c-49c3e-7a51-8e0f-1b2c3d4e5f60",
        "{197f0c4-9c3e-7a51-8e0f-1b2c3d4e5f6}",
        "０197f0c4-9c3e-7a51-8e0f-1b2c3d4e5f",
    ])
    func garbage(_ text: String) {
        #expect(MessageID(text) == nil)
    }

    @Test func order() {
        let first = MessageID(milliseconds: 5, counter: 1, random: .max)
        let second = MessageID(milliseconds: 5, counter: 2, random: 0)
        let third = MessageID(milliseconds: 6, counter: 0, random: 0)
        #expect(first < second && second < third && !(third < first))
        #expect(first.description < second.description && second.description < third.description)
    }
}
