import FoundationEssentials
import Glibc
import Hashing
import Messages
import Tensors

/// A model's weights and configuration files, in a directory as Hugging Face lays it out.
public struct Checkpoint: Sendable {
    /// The directory, as it was given.
    public let directory: String
    /// The names of all tensors, sorted.
    public let tensorNames: [String]
    /// A hash of the names, types and shapes of all tensors and of the names and sizes of all weight files.
    ///
    /// It does not depend on the values; `contentDigest` does.
    public let layoutDigest: UInt64
    /// Bytes in all weight files.
    public let weightFileByteCount: Int
    /// What a user should know about how the files were chosen, one line each.
    public let warnings: [String]

    private let tensors: [String: StoredTensor]
    private let files: [SafetensorsFile]

    /// The name of the weight file of a checkpoint without shards.
    private static let wholeName = "model.safetensors"

    /// Maps the weight files of `directory` and checks their headers; no tensor data is read.
    ///
    /// The files are those that `model.safetensors.index.json` names, or `model.safetensors`, or, if neither exists,
    /// all `*.safetensors`. If there is a `model.safetensors` that the index does not name, the index is a leftover and
    /// is ignored, as in transformers. Where the index disagrees with the files, the files count.
    ///
    /// - Throws: `noDirectory`, `noWeights`, `pickled`, `missingFile` naming a shard, `brokenLink`, `duplicateTensor`, and what
    ///   `SafetensorsFile` throws.
    public init(directory: String) throws(CheckpointError) {
        guard try fileKind(of: directory) == S_IFDIR else { throw .noDirectory(path: directory) }
        self.directory = directory
        var warnings: [String] = []
        var index = try ShardIndex(directory: directory)
        let hasWhole = try fileKind(of: "\(directory)/\(Self.wholeName)") != nil
        if let named = index?.shards, hasWhole, !named.contains(Self.wholeName) {
            warnings.append(
                "\(escaped(directory))/\(ShardIndex.fileName) is not used: \(Self.wholeName) is there, and it is not one "
                    + "of the index's files")
            index = nil
        }
        if let index, index.shards.isEmpty {
            throw .malformedFile(path: index.path, problem: "its weight_map names no file")
        }
        var files: [SafetensorsFile] = []
        let names =
            if let index { index.shards } else if hasWhole { [Self.wholeName] } else {
                try Self.unindexedFiles(in: directory)
            }
        for name in names {
            let path = "\(directory)/\(name)"
            guard try fileKind(of: path) != nil else {
                throw .missingFile(path: path, reason: "named in \(ShardIndex.fileName)")
            }
            files.append(try SafetensorsFile(path: path))
        }
        self.files = files
        tensors = try Self.collect(files, index: index)
        if let warning = index?.warning(tensors.mapValues { lastComponent(of: $0.path) }) { warnings.append(warning) }
        self.warnings = warnings
        tensorNames = tensors.keys.sorted()
        weightFileByteCount = files.reduce(0) { $0 + $1.byteCount }

        var hash = FNV1a()
        for name in tensorNames {
            guard let description = tensors[name]?.description else { continue }
            hash.add(delimited: name)
            hash.add(delimited: description.type.rawValue)
            for extent in description.shape { hash.add(UInt64(extent)) }
            hash.add(UInt64(description.shape.count))
        }
        for file in files {
            hash.add(delimited: lastComponent(of: file.path))
            hash.add(UInt64(file.byteCount))
        }
        layoutDigest = hash.value
    }

    /// The tensor of that name; nil if no file holds it.
    public func tensor(named name: String) -> StoredTensor? {
        tensors[name]
    }

    /// A hash of a sample of every tensor's bytes: up to 64 bytes at each of 16 places, including both ends.
    ///
    /// Ranks compare it to check that they opened the same weights. It is cheap (some 10 ms for 700 tensors in the page
    /// cache) and leaves no page mapped. It does not see differences between the sampled places.
    ///
    /// - Throws: `changed`, `unreadable`.
    public func contentDigest() throws(CheckpointError) -> UInt64 {
        var hash = FNV1a()
        for name in tensorNames {
            try tensors[name]?.sample { bytes in
                for byte in bytes { hash.add(byte) }
            }
        }
        return hash.value
    }

    /// Checks that no weight file was written to since it was opened; this reads no data.
    ///
    /// - Throws: `changed`.
    public func checkUnchanged() throws(CheckpointError) {
        for file in files { try file.checkUnchanged() }
    }

    /// Reads the file `name`, such as "config.json", in the checkpoint's directory; nil if it does not exist.
    ///
    /// - Throws: `unreadable`, `brokenLink`.
    public func json(_ name: String) throws(CheckpointError) -> Data? {
        precondition(isPlainFileName(name), "\(name) is not a plain file name")
        let path = "\(directory)/\(name)"
        guard try fileKind(of: path) != nil else { return nil }
        let file = try MappedFile(path: path)
        return withExtendedLifetime(file) { Data(file.bytes) }
    }

    /// Reads how config.json says that weights are quantized; nil if it does not say that they are.
    ///
    /// - Throws: `malformedFile`, `unsupported`, `unreadable`.
    public func quantizationConfiguration() throws(CheckpointError) -> QuantizationConfiguration? {
        let path = "\(directory)/config.json"
        guard try fileKind(of: path) != nil else { return nil }
        return try QuantizationConfiguration(configuration: parseJSONFile(path), path: path)
    }

    /// The names of the weight files of a directory without an index and without a `model.safetensors`.
    private static func unindexedFiles(in directory: String) throws(CheckpointError) -> [String] {
        let names = try fileNames(in: directory)
        let shards = names.filter { $0.hasSuffix(".safetensors") }
        guard shards.isEmpty else { return shards }
        let pickles = [("pytorch_model", ".bin"), ("model", ".pt"), ("consolidated", ".pth")]
        if let pickle = names.first(where: { name in pickles.contains { name.hasPrefix($0) && name.hasSuffix($1) } }) {
            throw .pickled(path: "\(directory)/\(pickle)", directory: directory)
        }
        throw .noWeights(directory: directory)
    }

    /// All tensors of all files, by name; if two files hold one, the copy in the file that the index names.
    private static func collect(
        _ files: [SafetensorsFile], index: ShardIndex?
    ) throws(CheckpointError) -> [String: StoredTensor] {
        var tensors: [String: StoredTensor] = [:]
        for file in files {
            for tensor in file.tensors {
                guard let other = tensors[tensor.name] else {
                    tensors[tensor.name] = tensor
                    continue
                }
                switch index?.shardOfTensor[tensor.name] {
                case lastComponent(of: other.path): break
                case lastComponent(of: file.path): tensors[tensor.name] = tensor
                default: throw .duplicateTensor(name: tensor.name, paths: [other.path, file.path])
                }
            }
        }
        return tensors
    }
}
