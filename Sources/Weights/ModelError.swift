import Messages

/// A mismatch between a model's configuration and its weights, or a fault of the weights.
public enum ModelError: Error, Equatable, CustomStringConvertible {
    case wrongShape(tensor: String, path: String, found: [Int], expected: [Int])
    case unusedTensor(name: String, path: String)
    case cannotQuantize(tensor: String, reason: String)
    case alreadyQuantized(tensor: String)
    case transposedIntegers(tensor: String)
    case cannotNormalize(tensor: String)
    case notTaken(parameter: String)

    public var description: String {
        switch self {
        case .wrongShape(let tensor, let path, let found, let expected):
            "tensor \(quoted(tensor)) is \(listed(found)) in \(escaped(path)); config.json says \(expected). "
                + "The file may be from another model, or config.json was changed."
        case .unusedTensor(let name, let path):
            "tensor \(quoted(name)) in \(escaped(path)) has no place in the model that config.json describes; "
                + "they may not belong together."
        case .cannotQuantize(let tensor, let reason):
            "tensor \(quoted(tensor)) cannot be used with integer weights: \(reason)"
        case .alreadyQuantized(let tensor):
            "tensor \(quoted(tensor)) is quantized already; use --quantization auto (as stored) or none (as floats)"
        case .transposedIntegers(let tensor):
            "tensor \(quoted(tensor)) is quantized and stored as [input, output], which is not supported"
        case .cannotNormalize(let tensor):
            "tensor \(quoted(tensor)) is quantized, but this model divides each of its rows by the row's norm, which needs "
                + "floats"
        case .notTaken(let parameter):
            "no layer of this runtime has taken the parameter \(quoted(parameter)); this is a defect, please report it"
        }
    }
}
