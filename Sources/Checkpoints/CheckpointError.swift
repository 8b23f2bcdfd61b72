/// What can be wrong with weight files and the files that lie beside them.
///
/// Every message says what failed, on which file and tensor, what was expected and found, and what to do.
public enum CheckpointError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The model directory does not exist.
    case noDirectory(path: String)
    /// A file does not exist; `reason` says why it was looked for.
    case missingFile(path: String, reason: String)
    /// A file exists but the operating system does not let us read it.
    case unreadable(path: String, reason: String)
    /// A directory holds no weight file.
    case noWeights(directory: String)
    /// The header of a weight file, or a JSON file, does not say what its format demands.
    case malformedFile(path: String, problem: String)
    /// A file ends before the data that its header describes.
    case truncated(path: String, missingByteCount: Int)
    /// The description of one tensor contradicts itself, the file or what was asked for.
    case malformedTensor(name: String, path: String, problem: String)
    /// Two files of one checkpoint hold a tensor of the same name.
    case duplicateTensor(name: String, paths: [String])
    /// No file of the checkpoint holds the tensor.
    case missingTensor(name: String, directory: String)
    /// A valid checkpoint in a storage format that is not read.
    case unsupported(path: String, feature: String)
    /// A file cannot be written.
    case unwritable(path: String, reason: String)

    /// Whether an input is absent or unreadable (exit status 66), as opposed to malformed (65).
    public var isMissingInput: Bool {
        switch self {
        case .noDirectory, .missingFile, .unreadable, .noWeights: true
        default: false
        }
    }

    public var description: String {
        switch self {
        case .noDirectory(let path):
            "no such model directory: \(path). Give the directory that holds config.json and *.safetensors."
        case .missingFile(let path, let reason):
            "no such file: \(path) (\(reason)). Fetch it, or download the model again."
        case .unreadable(let path, let reason):
            "cannot read \(path): \(reason). Check its permissions."
        case .noWeights(let directory):
            "\(directory) holds no *.safetensors file. Give the directory that holds the weights."
        case .malformedFile(let path, let problem):
            "\(path) is malformed: \(problem). Download it again, or write it again."
        case .truncated(let path, let missingByteCount):
            "\(path) is cut short by \(missingByteCount) bytes: its download may be incomplete. Download it again."
        case .malformedTensor(let name, let path, let problem):
            "tensor \"\(name)\" in \(path): \(problem). The file may belong to another model, or be damaged."
        case .duplicateTensor(let name, let paths):
            "tensor \"\(name)\" is in more than one file (\(paths.joined(separator: ", "))). "
                + "Remove the files that do not belong to the model."
        case .missingTensor(let name, let directory):
            "no tensor \"\(name)\" in \(directory). Its config.json may belong to another model, or a file is missing."
        case .unsupported(let path, let feature):
            "\(path): \(feature) is not supported. Use a checkpoint in another format."
        case .unwritable(let path, let reason):
            "cannot write \(path): \(reason). Check permissions and free space."
        }
    }
}
