import Glibc
import JSON
import Messages

/// What can be wrong with weight files and with the other files of a checkpoint.
///
/// Every message says what failed, on which file and tensor, what was expected and found, and what to do. Names and
/// paths are raw in the cases and escaped in the messages; `problem`, `reason` and `feature` are texts of this program,
/// in which anything from a file is quoted.
public enum CheckpointError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The model directory does not exist.
    case noDirectory(path: String)
    /// A file does not exist; `reason` says why it was looked for.
    case missingFile(path: String, reason: String)
    /// A symbolic link leads to nothing, or to itself.
    case brokenLink(path: String, target: String)
    /// A file exists and cannot be read; `reason` says why, and what to do about it if anything.
    case unreadable(path: String, reason: String)
    /// A file is larger than the address space that the process may use.
    case noRoom(path: String, byteCount: Int)
    /// A directory holds no weight file.
    case noWeights(directory: String)
    /// A directory holds its weights only as a pickle, which runs code when it is read.
    case pickled(path: String, directory: String)
    /// The header of a weight file, or a JSON file, violates its format.
    case malformedFile(path: String, problem: String)
    /// A file is a placeholder that says where the real one is kept, such as one of Git LFS.
    case pointer(path: String, hint: String)
    /// A file ends before the data that its header describes.
    case truncated(path: String, missingByteCount: Int)
    /// A file was written to while it was in use.
    case changed(path: String)
    /// The description of a tensor contradicts itself, the file, or the request.
    case malformedTensor(name: String, path: String, problem: String)
    /// Two files of one checkpoint hold a tensor of the same name.
    case duplicateTensor(name: String, paths: [String])
    /// No file of the checkpoint holds the tensor.
    case missingTensor(name: String, directory: String)
    /// A checkpoint is valid, in a storage format that is not supported.
    case unsupported(path: String, feature: String)
    /// A file cannot be written.
    case unwritable(path: String, reason: String)

    /// Whether an input is absent or unreadable (exit status 66), as opposed to malformed (65).
    public var isMissingInput: Bool {
        switch self {
        case .noDirectory, .missingFile, .brokenLink, .unreadable, .noWeights: true
        case .noRoom, .malformedFile, .pointer, .truncated, .changed, .malformedTensor, .duplicateTensor,
            .missingTensor, .unsupported, .unwritable, .pickled:
            false
        }
    }

    public var description: String {
        switch self {
        case .noDirectory(let path):
            "no such model directory: \(escaped(path))\(unfoundHint(path)). "
                + "Give the directory that holds config.json and *.safetensors."
        case .missingFile(let path, let reason):
            "no such file: \(escaped(path)) (\(reason)). Fetch it, or download the model again."
        case .brokenLink(let path, let target):
            "\(escaped(path)) is a symbolic link to \(quoted(target)), where there is no file. "
                + "Mend the link, or download the model again."
        case .unreadable(let path, let reason):
            "cannot read \(escaped(path)): \(reason)."
        case .noRoom(let path, let byteCount):
            "cannot map the \(byteCount) bytes of \(escaped(path)): the process may not use as much address space. "
                + "Raise the limit (ulimit -v)."
        case .noWeights(let directory):
            "\(escaped(directory)) holds no *.safetensors file. Give the directory that holds the weights."
        case .pickled(let path, let directory):
            "\(escaped(path)) is a pickle of PyTorch, which may run any code when it is read, so it is not. Convert it once: "
                + "python3 -c 'import sys, transformers as t; t.AutoModelForCausalLM.from_pretrained(sys.argv[1], "
                + "dtype=\"auto\").save_pretrained(sys.argv[1])' '\(escaped(directory))'"
        case .malformedFile(let path, let problem):
            "\(escaped(path)) is malformed: \(problem). Download it again, or write it again."
        case .pointer(let path, let hint):
            "\(escaped(path)): \(hint)."
        case .truncated(let path, let missingByteCount):
            "\(escaped(path)) is cut short by \(missingByteCount) bytes: its download may be incomplete. "
                + "Download it again."
        case .changed(let path):
            "\(escaped(path)) was written to while it was in use, so that answers would be wrong. "
                + "Start again when it is complete; write new files beside the old ones and rename them."
        case .malformedTensor(let name, let path, let problem):
            "tensor \(quoted(name)) in \(escaped(path)): \(problem). "
                + "The file may belong to another model, or be damaged."
        case .duplicateTensor(let name, let paths):
            "tensor \(quoted(name)) is in more than one file (\(paths.map { escaped($0) }.joined(separator: ", "))). "
                + "Remove the files that do not belong to the model."
        case .missingTensor(let name, let directory):
            "no tensor \(quoted(name)) in \(escaped(directory)). "
                + "Its config.json may belong to another model, or a file is missing."
        case .unsupported(let path, let feature):
            "\(escaped(path)): \(feature) is not supported. Use a checkpoint in another format."
        case .unwritable(let path, let reason):
            "cannot write \(escaped(path)): \(reason). Check permissions, free space and free inodes."
        }
    }

    /// The error for a system call on `path` that failed with `code`.
    static func unreadable(path: String, code: Int32) -> CheckpointError {
        let remedy: String? =
            switch code {
            case EACCES, EPERM: "check its permissions"
            case EMFILE: "raise the limit on open files (ulimit -n)"
            default: nil
            }
        let reason = String(cString: strerror(code))
        return .unreadable(path: path, reason: remedy.map { "\(reason); \($0)" } ?? reason)
    }
}

extension CheckpointError: JSONFieldFailure {
    /// The error for a field of a JSON file that is missing, of the wrong kind or out of range.
    public init(_ fault: JSONFault) {
        let field = fault.field.isEmpty ? "it" : quoted(fault.field)
        self = .malformedFile(path: fault.file, problem: "\(field) \(fault.reason)")
    }
}
