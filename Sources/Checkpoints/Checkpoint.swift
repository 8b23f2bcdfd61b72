import FoundationEssentials
import Glibc
import Tensors

/// A model's weights and configuration files: a directory as Hugging Face lays it out.
public struct Checkpoint: Sendable {
    /// The directory, as it was given.
    public let directory: String
    /// The names of all tensors, sorted.
    public let tensorNames: [String]
    /// A hash over names, types and shapes of all tensors and names and sizes of all weight files.
    ///
    /// Ranks compare it to see that they opened the same checkpoint; it says nothing about the values.
    public let digest: UInt64
    /// Bytes in all weight files.
    public let weightFileByteCount: Int

    private let tensors: [String: StoredTensor]

    /// Maps the weight files of `directory` and checks their headers; no tensor data is read.
    ///
    /// The files are those that `model.safetensors.index.json` names, or `model.safetensors`, or, if neither
    /// exists, all `*.safetensors`.
    ///
    /// - Throws: `noDirectory`, `noWeights`, `missingFile` naming a shard, and what `SafetensorsFile` throws.
    public init(directory: String) throws(CheckpointError) {
        guard fileKind(of: directory) == S_IFDIR else { throw .noDirectory(path: directory) }
        self.directory = directory
        let index = try ShardIndex(directory: directory)
        var files: [SafetensorsFile] = []
        let names = if let index { index.shards } else { try Self.unindexedFiles(in: directory) }
        for name in names {
            let path = "\(directory)/\(name)"
            guard fileKind(of: path) != nil else {
                throw .missingFile(path: path, reason: "named in \(ShardIndex.fileName)")
            }
            files.append(try SafetensorsFile(path: path))
        }
        tensors = try Self.collect(files, index: index)
        tensorNames = tensors.keys.sorted()
        weightFileByteCount = files.reduce(0) { $0 + $1.byteCount }

        var hash = FNV1a()
        for name in tensorNames {
            guard let description = tensors[name]?.description else { continue }
            hash.add(name)
            hash.add(description.type.rawValue)
            for extent in description.shape { hash.add(UInt64(extent)) }
            hash.add(UInt64(description.shape.count))
        }
        for file in files {
            hash.add(lastComponent(of: file.path))
            hash.add(UInt64(file.byteCount))
        }
        digest = hash.value
    }

    /// The tensor of that name; nil if no file holds it.
    public func tensor(named name: String) -> StoredTensor? {
        tensors[name]
    }

    /// The contents of the file `name` ("config.json") beside the weights; nil if it does not exist.
    ///
    /// - Throws: `unreadable`.
    public func json(_ name: String) throws(CheckpointError) -> Data? {
        precondition(isPlainFileName(name), "\(name) is not a plain file name")
        let path = "\(directory)/\(name)"
        guard fileKind(of: path) != nil else { return nil }
        let file = try MappedFile(path: path)
        return withExtendedLifetime(file) { Data(file.bytes) }
    }

    /// The storage of quantized weights as config.json declares it; nil if it declares none.
    ///
    /// - Throws: `malformedFile`, `unsupported`, `unreadable`.
    public func quantizationConfiguration() throws(CheckpointError) -> QuantizationConfiguration? {
        let path = "\(directory)/config.json"
        guard fileKind(of: path) != nil else { return nil }
        return try QuantizationConfiguration(configuration: parseJSONFile(path), path: path)
    }

    /// The names of the weight files where no index names them.
    private static func unindexedFiles(in directory: String) throws(CheckpointError) -> [String] {
        let whole = "model.safetensors"
        if fileKind(of: "\(directory)/\(whole)") != nil { return [whole] }
        let names: [String]
        do {
            names = try FileManager.default.contentsOfDirectory(atPath: directory)
        } catch {
            throw .unreadable(path: directory, reason: "it cannot be listed")
        }
        let shards = names.filter { $0.hasSuffix(".safetensors") }.sorted()
        guard !shards.isEmpty else { throw .noWeights(directory: directory) }
        return shards
    }

    /// All tensors by name: those that the index lists, or, without one, all of all files.
    private static func collect(
        _ files: [SafetensorsFile], index: ShardIndex?
    ) throws(CheckpointError) -> [String: StoredTensor] {
        var tensors: [String: StoredTensor] = [:]
        for file in files {
            let fileName = lastComponent(of: file.path)
            for tensor in file.tensors {
                // A shard may hold copies that the index assigns elsewhere.
                if let index, index.shardOfTensor[tensor.name] != fileName { continue }
                if let other = tensors[tensor.name] {
                    throw .duplicateTensor(name: tensor.name, paths: [other.path, file.path])
                }
                tensors[tensor.name] = tensor
            }
        }
        if let index, let missing = index.shardOfTensor.keys.filter({ tensors[$0] == nil }).min() {
            throw .malformedTensor(
                name: missing, path: index.path,
                problem: "the index places it in \(index.shardOfTensor[missing] ?? ""), which does not hold it")
        }
        return tensors
    }
}

/// The contents of `model.safetensors.index.json`.
private struct ShardIndex {
    static let fileName = "model.safetensors.index.json"

    let path: String
    let shardOfTensor: [String: String]
    /// The shards' file names, each once, sorted.
    var shards: [String] { Set(shardOfTensor.values).sorted() }

    /// Nil if the directory has no index.
    init?(directory: String) throws(CheckpointError) {
        path = "\(directory)/\(Self.fileName)"
        guard fileKind(of: path) != nil else { return nil }
        guard let members = try parseJSONFile(path)["weight_map"]?.members, !members.isEmpty else {
            throw .malformedFile(path: path, problem: "it has no weight_map")
        }
        var shardOfTensor: [String: String] = [:]
        for member in members {
            // A name with a separator could lead out of the directory.
            guard let shard = member.value.stringValue, isPlainFileName(shard) else {
                throw .malformedFile(
                    path: path, problem: "weight_map gives \"\(member.name)\" something other than a plain file name")
            }
            shardOfTensor[member.name] = shard
        }
        self.shardOfTensor = shardOfTensor
    }
}

/// Parses a whole JSON file.
func parseJSONFile(_ path: String) throws(CheckpointError) -> JSONValue {
    let file = try MappedFile(path: path)
    defer { withExtendedLifetime(file) {} }
    do {
        return try JSONValue(parsing: file.bytes)
    } catch {
        throw .malformedFile(path: path, problem: "\(error)")
    }
}

/// The type bits of a file's mode, symbolic links followed; nil if it does not exist.
func fileKind(of path: String) -> mode_t? {
    var status = stat()
    return stat(path, &status) == 0 ? status.st_mode & S_IFMT : nil
}

/// Whether a name stays within its directory: no separator, not "." or "..", not empty, no NUL.
func isPlainFileName(_ name: String) -> Bool {
    !name.isEmpty && name != "." && name != ".." && !name.utf8.contains { $0 == UInt8(ascii: "/") || $0 == 0 }
}

/// What follows the last separator of a path.
func lastComponent(of path: String) -> String {
    path.split(separator: "/").last.map(String.init) ?? path
}

/// The 64-bit FNV-1a hash (http://www.isthe.com/chongo/tech/comp/fnv/).
struct FNV1a {
    private(set) var value: UInt64 = 0xCBF2_9CE4_8422_2325

    mutating func add(_ byte: UInt8) {
        value = (value ^ UInt64(byte)) &* 0x0000_0100_0000_01B3
    }

    mutating func add(_ number: UInt64) {
        for shift in stride(from: UInt64(0), to: 64, by: 8) { add(UInt8(truncatingIfNeeded: number >> shift)) }
    }

    /// The text's bytes and their number, so that neighbouring texts cannot run into one another.
    mutating func add(_ text: String) {
        for byte in text.utf8 { add(byte) }
        add(UInt64(text.utf8.count))
    }
}
