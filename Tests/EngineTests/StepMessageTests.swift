import Collectives
import Testing

@testable import Engine

@Suite struct StepMessageTests {
    /// Short and long messages of rank 0 arrive on the other ranks, and the buffer can be reused.
    @Test func arrivesOnEveryRank() throws {
        let limits = StepLimits(tokenCount: 200, sequenceCount: 3, sequenceLength: 300)
        let seen = try withRanks(3) { world in
            let message = StepMessage(limits: limits)
            var lines: [String] = []
            for length in [1, 150, 2] {
                if world.rank == 0 {
                    message.begin(.step)
                    message.isTraced = length == 150
                    message.addRelease(SequenceID(slot: 2))
                    message.addChunk(
                        SequenceID(slot: 0), firstPosition: 5, tokens: ArraySlice((0..<Int32(length))),
                        promptLength: 160, output: .last)
                    message.addChunk(
                        SequenceID(slot: 1), firstPosition: 0, tokens: [7], promptLength: 1, output: .all)
                }
                try message.broadcast(over: world)
                lines.append(
                    "\(message.releaseCount) \(message.release(at: 0).slot) \(message.tokenCount) \(message.isTraced)")
                message.forEachChunk { chunk in
                    lines.append(
                        "\(chunk.sequence.slot) \(chunk.firstPosition) \(chunk.promptLength) \(chunk.output) "
                            + "\(Array(chunk.tokens))")
                }
            }
            if world.rank == 0 { message.begin(.stop) }
            try message.broadcast(over: world)
            lines.append("\(message.kind == .stop) \(message.chunkCount)")
            return lines
        }
        #expect(seen[1] == seen[0] && seen[2] == seen[0])
        #expect(seen[0].contains("1 2 151 true") && seen[0].contains("1 0 1 all [7]") && seen[0].last == "true 0")
    }
}
