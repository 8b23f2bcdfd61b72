import JSON
import Messages

/// The contents of `model.safetensors.index.json`.
struct ShardIndex {
    static let fileName = "model.safetensors.index.json"

    let path: String
    /// For each tensor the file that holds it, according to the index.
    let shardOfTensor: [String: String]
    /// The file names of the shards, sorted, without duplicates.
    var shards: [String] { Set(shardOfTensor.values).sorted() }

    /// Reads the index of a directory; nil if it has none.
    ///
    /// - Throws: `malformedFile`, `unreadable`, `brokenLink`, `pointer`.
    init?(directory: String) throws(CheckpointError) {
        path = "\(directory)/\(Self.fileName)"
        guard try fileKind(of: path) != nil else { return nil }
        guard let members = try parseJSONFile(path)["weight_map"]?.members else {
            throw .malformedFile(path: path, problem: "it has no weight_map")
        }
        var shardOfTensor: [String: String] = [:]
        for member in members {
            // A name with a separator could lead out of the directory.
            guard let shard = member.value.stringValue, isPlainFileName(shard) else {
                throw .malformedFile(
                    path: path,
                    problem: "weight_map gives \(quoted(member.name)) something other than a plain file name")
            }
            shardOfTensor[member.name] = shard
        }
        self.shardOfTensor = shardOfTensor
    }

    /// A warning that the index disagrees with its files; nil if it agrees.
    ///
    /// What the files hold is loaded, as in transformers.
    ///
    /// - Parameter fileOfTensor: for each tensor the file that holds it.
    func warning(_ fileOfTensor: [String: String]) -> String? {
        let absent = shardOfTensor.keys.filter { fileOfTensor[$0] == nil }.sorted()
        let elsewhere = fileOfTensor.filter { (shardOfTensor[$0.key] ?? $0.value) != $0.value }
        let unnamed = fileOfTensor.keys.filter { shardOfTensor[$0] == nil }.sorted()
        var parts: [String] = []
        if !absent.isEmpty {
            parts.append("names \(absent.count) tensors that its files lack (\(listed(names: absent)))")
        }
        if !elsewhere.isEmpty {
            parts.append("places \(elsewhere.count) in the wrong file (\(listed(names: elsewhere.keys.sorted())))")
        }
        if !unnamed.isEmpty { parts.append("leaves out \(unnamed.count) (\(listed(names: unnamed)))") }
        guard !parts.isEmpty else { return nil }
        return "\(escaped(path)) is not exact: it \(parts.joined(separator: ", ")); what the files hold is used"
    }
}
