import Foundation
import TestSupport
import Testing

/// The folder of the golden checkpoints.
let goldenPath = "\(ProgramRun.repositoryPath)/Tests/Golden/checkpoints"
/// The embedded model.
let embeddedModel = "\(ProgramRun.repositoryPath)/Models/tale-23m"

/// A copy of a golden checkpoint that a test may change.
struct TestCheckpoint {
    typealias Object = [String: Any]

    private let folder: TemporaryFolder
    var path: String { "\(folder.path)/model" }

    init(copying name: String = "llama-mha") throws {
        folder = try TemporaryFolder()
        try FileManager.default.copyItem(atPath: "\(goldenPath)/\(name)", toPath: path)
    }

    func write(_ data: Data, to name: String) throws {
        try folder.write(data, to: "model/\(name)")
    }

    func write(_ text: String, to name: String) throws {
        try write(Data(text.utf8), to: name)
    }

    func remove(_ name: String) throws {
        try FileManager.default.removeItem(atPath: "\(path)/\(name)")
    }

    func data(_ name: String = "model.safetensors") throws -> Data {
        try Data(contentsOf: URL(filePath: "\(path)/\(name)"))
    }

    /// Changes a file that holds a JSON object.
    func edit(_ name: String = "config.json", _ change: (inout Object) -> Void) throws {
        var object = try #require(try JSONSerialization.jsonObject(with: data(name)) as? Object)
        change(&object)
        try write(JSONSerialization.data(withJSONObject: object), to: name)
    }

    /// Changes the header of the weights; their data stays as it is.
    func editHeader(_ change: (inout [String: Object]) -> Void) throws {
        let file = try data()
        var header = try Self.header(of: file)
        change(&header)
        let json = try JSONSerialization.data(withJSONObject: header)
        try write(Self.file(header: json, data: file.suffix(Self.dataCount(of: file))), to: "model.safetensors")
    }

    /// Removes a tensor from the weights, and closes the gap in the data.
    func removeTensor(_ name: String) throws {
        let file = try data()
        let tensor = try #require(Self.header(of: file)[name]?["data_offsets"] as? [Int])
        let start = file.count - Self.dataCount(of: file)
        var data = file[start...]
        data.removeSubrange(start + tensor[0]..<start + tensor[1])
        var header = try Self.header(of: file)
        header[name] = nil
        for (other, offsets) in header.compactMapValues({ $0["data_offsets"] as? [Int] }) where offsets[0] >= tensor[1]
        {
            header.move(other, by: tensor[0] - tensor[1])
        }
        try write(
            Self.file(header: JSONSerialization.data(withJSONObject: header), data: data), to: "model.safetensors")
    }

    /// Adds a tensor to the weights.
    func addTensor(_ name: String, shape: [Int] = [2], type: String = "F32", bytes: Data? = nil) throws {
        let file = try data()
        let data = file.suffix(Self.dataCount(of: file))
        let bytes = bytes ?? Data(count: shape.reduce(4, *))
        var header = try Self.header(of: file)
        header[name] = ["dtype": type, "shape": shape, "data_offsets": [data.count, data.count + bytes.count]]
        try write(
            Self.file(header: JSONSerialization.data(withJSONObject: header), data: data + bytes),
            to: "model.safetensors")
    }

    /// The bytes of a tensor.
    func bytes(of name: String) throws -> Data {
        let file = try data()
        let offsets = try #require(Self.header(of: file)[name]?["data_offsets"] as? [Int])
        let start = file.count - Self.dataCount(of: file)
        return file[start + offsets[0]..<start + offsets[1]]
    }

    private static func headerCount(of file: Data) -> Int {
        Int(file.prefix(8).enumerated().reduce(UInt64(0)) { $0 | UInt64($1.element) << UInt64(8 * $1.offset) })
    }

    private static func dataCount(of file: Data) -> Int { file.count - 8 - headerCount(of: file) }

    private static func header(of file: Data) throws -> [String: Object] {
        try #require(try JSONSerialization.jsonObject(with: file[8..<8 + headerCount(of: file)]) as? [String: Object])
    }

    /// The bytes of a safetensors file with this header and data.
    static func file(header: Data, data: Data = Data()) -> Data {
        withUnsafeBytes(of: UInt64(header.count).littleEndian) { Data($0) } + header + data
    }
}

extension Dictionary where Key == String, Value == TestCheckpoint.Object {
    /// Moves a tensor's data offsets.
    mutating func move(_ name: String, by distance: Int) {
        let offsets = self[name]?["data_offsets"] as? [Int] ?? []
        self[name]?["data_offsets"] = offsets.map { $0 + distance }
    }
}
