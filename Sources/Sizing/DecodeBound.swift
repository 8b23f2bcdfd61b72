import Architectures
import Topology

/// The cost of exchanging bytes over a link, `alpha + beta · bytes`, as `all_reduce_bench` fits it.
public struct LinkModel: Equatable, Sendable {
    public var alphaMicroseconds: Double
    public var betaNanosecondsPerByte: Double

    public init(alphaMicroseconds: Double, betaNanosecondsPerByte: Double) {
        self.alphaMicroseconds = alphaMicroseconds
        self.betaNanosecondsPerByte = betaNanosecondsPerByte
    }

    /// The duration of one exchange, in milliseconds.
    func milliseconds(bytes: Double) -> Double {
        (alphaMicroseconds * 1e3 + betaNanosecondsPerByte * bytes) / 1e6
    }
}

/// A lower bound of the time that a token takes when one sequence is decoded.
public struct DecodeBound: Equatable, Sendable {
    /// The time to read weights and cache, stage after stage.
    public let readMilliseconds: Double
    /// The time of the layers' all-reduces and the hand-offs between stages; nil if the link's cost is unknown.
    public let communicationMilliseconds: Double?

    /// The upper bound of tokens per second.
    public var tokensPerSecond: Double { 1000 / (readMilliseconds + (communicationMilliseconds ?? 0)) }

    /// - Parameters:
    ///   - bandwidth: the bytes per second that a card reads.
    ///   - link: the cost of an all-reduce over the tensor group; nil: unknown.
    public init(
        _ decoder: DecoderConfiguration, demands: CardPlanner.Demands, length: Int, bandwidth: Double, link: LinkModel?
    ) {
        let plan = demands.plan
        // The shards of a stage read concurrently, the stages one after the other.
        let all = demands.cards
        readMilliseconds = (0..<plan.pipelineDegree).reduce(0) { sum, stage in
            let cards = all[stage * plan.tensorDegree..<(stage + 1) * plan.tensorDegree]
            let bytes = cards.map { $0.readBytes(length: length) }.max() ?? 0
            return sum + bytes / bandwidth * 1e3
        }
        communicationMilliseconds = link.map { link in
            let bytes = Double(decoder.hiddenSize) * 4
            let sums = plan.tensorDegree > 1 ? 2 * Double(decoder.layers.count) : 0
            return (sums + Double(plan.pipelineDegree - 1)) * link.milliseconds(bytes: bytes)
        }
    }
}
