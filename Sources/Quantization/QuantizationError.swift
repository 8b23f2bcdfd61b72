import Checkpoints
import Messages

/// What can go wrong while weights are encoded or a quantized checkpoint is written.
public enum QuantizationError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The input cannot be read, or the output file cannot be written.
    case checkpoint(CheckpointError)
    /// The scheme is not a possible one.
    case badScheme(reason: String)
    /// A weight is NaN or infinite, or a group's range exceeds what a float can hold.
    case notFinite(tensor: String, row: Int)
    /// The group size does not divide a row, which readers of the format refuse.
    case unevenGroups(tensor: String, columns: Int, groupSize: Int)
    /// The input's weights are quantized already.
    case alreadyQuantized(path: String)
    /// The input has no matrix that would be quantized.
    case nothingToQuantize(directory: String)
    /// The output exists and is not an empty directory.
    case outputExists(path: String)
    /// Another program created the output during this run.
    case outputTaken(path: String)
    /// The output is a symbolic link to nothing.
    case outputIsBrokenLink(path: String)
    /// The output is the input, or lies inside it.
    case outputInsideInput(path: String)
    /// The output cannot be written.
    case unwritable(path: String, reason: String)
    /// The caller asked to stop.
    case interrupted

    /// Whether an input is absent or unreadable (exit status 66), as opposed to malformed (65).
    public var isMissingInput: Bool {
        guard case .checkpoint(let error) = self else { return false }
        return error.isMissingInput
    }

    /// Whether the request itself is wrong (exit status 64).
    public var isUsage: Bool {
        switch self {
        case .badScheme, .outputExists, .outputIsBrokenLink, .outputInsideInput: true
        case .checkpoint, .notFinite, .unevenGroups, .alreadyQuantized, .nothingToQuantize, .outputTaken, .unwritable,
            .interrupted:
            false
        }
    }

    public var description: String {
        switch self {
        case .checkpoint(let error):
            error.description
        case .badScheme(let reason):
            "\(reason)."
        case .notFinite(let tensor, let row):
            "row \(row) of \(quoted(tensor)) holds NaN, infinity or values too far apart to be scaled. "
                + "The checkpoint may be damaged."
        case .unevenGroups(let tensor, let columns, let groupSize):
            "\(quoted(tensor)) has \(columns) columns, not a multiple of the group size \(groupSize), which readers of the "
                + "format refuse. Choose a group size that divides \(columns), or one scale per channel."
        case .alreadyQuantized(let path):
            "\(escaped(path)) declares quantized weights. Quantize the original checkpoint instead."
        case .nothingToQuantize(let directory):
            "\(escaped(directory)) has no decoder linear layers (model.layers.*.{q,k,v,o,gate,up,down}_proj.weight)."
        case .outputExists(let path):
            "\(escaped(path)) exists and is not an empty directory. Remove it, or give another output."
        case .outputTaken(let path):
            "\(escaped(path)) was made by another program while this one worked; this run wrote nothing. "
                + "Remove it, or give another output."
        case .outputIsBrokenLink(let path):
            "\(escaped(path)) is a symbolic link to something that does not exist. Remove it, or give another output."
        case .outputInsideInput(let path):
            "the output \(escaped(path)) is the input or lies inside it. Give another output."
        case .unwritable(let path, let reason):
            "cannot write \(escaped(path)): \(reason). Check permissions, free space and free inodes."
        case .interrupted:
            "interrupted; nothing was written."
        }
    }
}
