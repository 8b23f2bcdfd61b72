/// What can be wrong with sampling parameters.
public enum SamplingError: Error, Equatable, Sendable {
    /// A parameter is outside of what it may be.
    case outOfRange(parameter: String, value: String, allowed: String)
}

extension SamplingError: CustomStringConvertible {
    /// What is wrong and what is allowed, in one line.
    public var description: String {
        switch self {
        case .outOfRange(let parameter, let value, let allowed):
            "\(parameter) is \(value), and must be \(allowed)."
        }
    }
}
