/// An error in sampling parameters.
public enum SamplingError: Error, Equatable, Sendable {
    /// A parameter is outside its allowed range.
    case outOfRange(parameter: String, value: String, allowed: String)
}

extension SamplingError: CustomStringConvertible {
    /// The wrong value and the allowed ones, in one line.
    public var description: String {
        switch self {
        case .outOfRange(let parameter, let value, let allowed):
            "\(parameter) is \(value), and must be \(allowed)."
        }
    }
}
