import Topology

/// All reasons why a plan does not fit a model or the number of ranks.
public struct PlanError: Error, Equatable, CustomStringConvertible {
    public let problems: [String]

    public init(problems: [String]) {
        self.problems = problems
    }

    public var description: String { problems.joined(separator: "; ") }
}

extension ParallelPlan {
    /// Checks the plan against the model before a byte of weights is read.
    ///
    /// It refuses only plans that cannot run.
    ///
    /// - Parameter names: the tensor names for messages; nil: messages name the part of the model instead.
    public func validate(for decoder: DecoderConfiguration, rankCount: Int, names: TensorNames?) throws(PlanError) {
        func shown(_ name: ParameterName) -> String {
            if let names { return "tensor \"\(names.module(name)).weight\"" }
            if case .layer(let layer, let part) = name { return "the matrix \(part) of layer \(layer)" }
            return "\(name)"
        }
        var problems = self.problems(rankCount: rankCount, layerCount: decoder.layers.count)
        if problems.isEmpty {
            for (layer, configuration) in decoder.layers.enumerated() {
                let limits: [(ParameterName, Int, String)] = [
                    (.query(layer: layer), configuration.attention.queryHeadCount, "heads"),
                    (
                        .layer(layer, configuration.feedForward.firstPart),
                        configuration.feedForward.contraction(shardCount: tensorDegree).unitCount,
                        "pieces of columns"
                    ),
                ]
                for (name, most, what) in limits where tensorDegree > most {
                    problems.append(
                        "\(shown(name)) has \(most) \(what), which \(tensorDegree) ranks cannot share; "
                            + "use a tensor parallel size from 1 to \(most)")
                }
                if !problems.isEmpty { break }
            }
            if tensorDegree > decoder.vocabularySize {
                problems.append(
                    "\(shown(.embedding)) has \(decoder.vocabularySize) rows; "
                        + "use a tensor parallel size from 1 to \(decoder.vocabularySize)")
            }
        }
        guard problems.isEmpty else { throw PlanError(problems: problems) }
    }
}
