import Architectures
import Topology

/// What exchanging bytes over a link costs: `alpha + beta · bytes`, as `all_reduce_bench` fits it.
public struct LinkModel: Equatable, Sendable {
    public var alphaMicroseconds: Double
    public var betaNanosecondsPerByte: Double

    public init(alphaMicroseconds: Double, betaNanosecondsPerByte: Double) {
        self.alphaMicroseconds = alphaMicroseconds
        self.betaNanosecondsPerByte = betaNanosecondsPerByte
    }

    /// Milliseconds of one exchange.
    func milliseconds(bytes: Double) -> Double {
        (alphaMicroseconds * 1e3 + betaNanosecondsPerByte * bytes) / 1e6
    }
}

/// The least time that a token of one sequence takes.
public struct DecodeBound: Equatable, Sendable {
    /// Reading weights and cache, stage after stage.
    public let readMilliseconds: Double
    /// Sums of layers and hand-offs of stages; nil without a link's figures.
    public let communicationMilliseconds: Double?

    /// At most so many tokens a second.
    public var tokensPerSecond: Double { 1000 / (readMilliseconds + (communicationMilliseconds ?? 0)) }

    /// - Parameters:
    ///   - bandwidth: bytes a second that a card reads.
    ///   - link: of an all-reduce over the tensor group.
    public init(
        _ decoder: DecoderConfiguration, demands: CardPlanner.Demands, length: Int, bandwidth: Double, link: LinkModel?
    ) {
        let plan = demands.plan
        // Shards of a stage read at the same time, stages one after the other.
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
