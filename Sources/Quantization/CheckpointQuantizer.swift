import Checkpoints
import JSON
import Tensors

/// Writes a quantized copy of a Hugging Face directory in compressed-tensors' `pack-quantized` layout.
///
/// The decoder's linear layers are encoded; all other tensors are copied. The memory that this takes is that of a strip
/// of rows, whatever the size of the model. `PackedStrip` describes the layout; its source is compressed-tensors
/// 0.20.0, `compressors/pack_quantized`.
public struct CheckpointQuantizer: Sendable {
    /// The sizes and numbers of a finished run.
    public struct Summary: Equatable, Sendable {
        /// The size of all weight files of the input, in bytes.
        public let bytesBefore: Int
        /// The size of all weight files of the output, in bytes.
        public let bytesAfter: Int
        /// The number of matrices that were encoded.
        public let quantizedCount: Int
    }

    /// What a user should know about the input's files, one line each.
    public var warnings: [String] { checkpoint.warnings }

    private let checkpoint: Checkpoint
    private let scheme: IntegerScheme
    private let output: OutputDirectory
    private let maximumShardByteCount: Int
    private let configuration: [UInt8]
    private let items: [Item]

    /// Opens the input and checks all that can be checked before anything is written.
    ///
    /// - Parameters:
    ///   - model: the directory of the input.
    ///   - output: a directory that does not exist or is empty.
    ///   - maximumShardByteCount: the size in bytes beyond which a weight file is not extended by another tensor.
    /// - Throws: `checkpoint`, `alreadyQuantized`, `nothingToQuantize`, `unevenGroups`, `outputExists`,
    ///   `outputInsideInput`, `badScheme`.
    public init(
        model: String, output: String, scheme: IntegerScheme, maximumShardByteCount: Int = 5_000_000_000
    ) throws(QuantizationError) {
        let checkpoint = try reading { () throws(CheckpointError) in try Checkpoint(directory: model) }
        self.checkpoint = checkpoint
        self.scheme = scheme
        self.maximumShardByteCount = maximumShardByteCount
        self.output = try OutputDirectory(path: output, input: model)
        var items: [Item] = []
        for name in checkpoint.tensorNames {
            guard let tensor = checkpoint.tensor(named: name) else { continue }
            items.append(try Item(tensor, scheme: scheme, in: checkpoint))
        }
        guard items.contains(where: { $0.source != nil }) else { throw .nothingToQuantize(directory: model) }
        self.items = items
        let ignored = ["lm_head"] + items.compactMap(\.ignoredModule).filter { $0 != "lm_head" }
        let original = try reading { () throws(CheckpointError) in try checkpoint.json("config.json") }
        guard let original else {
            throw .checkpoint(.missingFile(path: "\(model)/config.json", reason: "the model's configuration"))
        }
        configuration = try mergedConfiguration(
            [UInt8](original), path: "\(model)/config.json", scheme: scheme, ignored: ignored)
    }

    /// Encodes and writes the weights; the output appears complete or not at all.
    ///
    /// - Parameters:
    ///   - progress: called after every strip with the number of input bytes that are done, and of all.
    ///   - isCancelled: called before every strip; if it returns true, the run ends with `interrupted`.
    /// - Throws: `notFinite`, `unwritable`, `checkpoint`, `interrupted`.
    public func run(
        progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }, isCancelled: () -> Bool = { false }
    ) throws(QuantizationError) -> Summary {
        let partial = try output.create()
        do throws(QuantizationError) {
            let bytesAfter = try writeShards(in: partial, progress: progress, isCancelled: isCancelled)
            try output.copyCompanions(from: checkpoint)
            try reading { () throws(CheckpointError) in try checkpoint.checkUnchanged() }
            // Written last: without config.json no program opens the directory.
            try output.write("config.json", configuration)
            guard !isCancelled() else { throw .interrupted }
            try output.commit()
            return Summary(
                bytesBefore: checkpoint.weightFileByteCount, bytesAfter: bytesAfter,
                quantizedCount: items.count { $0.source != nil })
        } catch {
            output.discard()
            throw error
        }
    }

    /// Writes all weight files and, if there are several, their index; returns their size in bytes.
    private func writeShards(
        in directory: String, progress: (Int, Int) -> Void, isCancelled: () -> Bool
    ) throws(QuantizationError) -> Int {
        let total = items.reduce(0) { $0 + $1.tensor.bytes.count }
        var done = 0
        let shards = dividedIntoShards()
        var index = ShardIndexText()
        for (number, shard) in shards.enumerated() {
            let name = shards.count == 1 ? "model.safetensors" : shardName(number + 1, of: shards.count)
            // Wide types come first, so that every tensor is aligned to its type.
            let descriptions = shard.flatMap(\.outputs).sorted {
                ($1.type.byteCount, $0.name) < ($0.type.byteCount, $1.name)
            }
            let writer = try reading { () throws(CheckpointError) in
                try SafetensorsWriter(path: "\(directory)/\(name)", tensors: descriptions)
            }
            let places = Dictionary(uniqueKeysWithValues: descriptions.enumerated().map { ($1.name, $0) })
            for item in shard {
                let before = done
                try item.write(to: writer, places: places) { (fraction) throws(QuantizationError) in
                    guard !isCancelled() else { throw .interrupted }
                    done = before + Int(fraction * Double(item.tensor.bytes.count))
                    progress(done, total)
                }
                done = before + item.tensor.bytes.count
            }
            try reading { () throws(CheckpointError) in try writer.finish() }
            index.add(descriptions, in: name, fileByteCount: writer.byteCount)
        }
        if shards.count > 1 { try output.write("model.safetensors.index.json", Array(index.text.utf8)) }
        return index.fileByteCount
    }

    /// Groups consecutive items into files of at most the limit; an item is never divided.
    private func dividedIntoShards() -> [[Item]] {
        var shards: [[Item]] = [[]]
        var byteCount = 0
        for item in items {
            let size = item.outputs.reduce(0) { $0 + ($1.byteCount ?? 0) }
            if byteCount + size > maximumShardByteCount, byteCount > 0 {
                shards.append([])
                byteCount = 0
            }
            shards[shards.count - 1].append(item)
            byteCount += size
        }
        return shards
    }

    private func shardName(_ number: Int, of count: Int) -> String {
        func padded(_ number: Int) -> String {
            let digits = String(number)
            return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
        }
        return "model-\(padded(number))-of-\(padded(count)).safetensors"
    }
}

/// The text of `model.safetensors.index.json`, as Hugging Face writes it.
private struct ShardIndexText {
    private(set) var fileByteCount = 0
    private var tensorByteCount = 0
    private var shardOfTensor: [(name: String, shard: String)] = []

    mutating func add(_ tensors: [TensorDescription], in shard: String, fileByteCount: Int) {
        self.fileByteCount += fileByteCount
        tensorByteCount += tensors.reduce(0) { $0 + ($1.byteCount ?? 0) }
        shardOfTensor += tensors.map { (name: $0.name, shard: shard) }
    }

    var text: String {
        let entries = shardOfTensor.sorted { $0.name < $1.name }
            .map { "    \(JSONValue.encoded($0.name)): \(JSONValue.encoded($0.shard))" }.joined(separator: ",\n")
        return "{\n  \"metadata\": {\n    \"total_size\": \(tensorByteCount)\n  },\n"
            + "  \"weight_map\": {\n\(entries)\n  }\n}\n"
    }
}

/// Runs `body` and converts a `CheckpointError` to a `QuantizationError`.
func reading<Result>(_ body: () throws(CheckpointError) -> Result) throws(QuantizationError) -> Result {
    do {
        return try body()
    } catch {
        throw .checkpoint(error)
    }
}
