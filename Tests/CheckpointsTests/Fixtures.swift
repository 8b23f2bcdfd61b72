import Foundation
import Tensors

@testable import Checkpoints

/// A temporary directory that is removed with the object.
final class TemporaryDirectory {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "/checkpoints-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }

    @discardableResult
    func write(_ name: String, _ bytes: [UInt8]) throws -> String {
        let file = "\(path)/\(name)"
        try Data(bytes).write(to: URL(fileURLWithPath: file))
        return file
    }

    @discardableResult
    func write(_ name: String, _ text: String) throws -> String {
        try write(name, Array(text.utf8))
    }

    var contents: [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted()
    }
}

/// The bytes of a safetensors file with any header and data, valid or not.
func safetensors(header: String, data: [UInt8] = [], claimedLength: UInt64? = nil) -> [UInt8] {
    let length = claimedLength ?? UInt64(header.utf8.count)
    return withUnsafeBytes(of: length.littleEndian) { Array($0) } + Array(header.utf8) + data
}

/// A tensor with its bytes, for valid files.
struct Fixture {
    let name: String
    let type: ElementType
    let shape: [Int]
    let bytes: [UInt8]

    init(_ name: String, _ type: ElementType, _ shape: [Int], _ bytes: [UInt8]) {
        (self.name, self.type, self.shape, self.bytes) = (name, type, shape, bytes)
    }

    init(_ name: String, bfloat16 values: [Float], shape: [Int]) {
        self.init(name, .bfloat16, shape, values.flatMap { littleEndian(BFloat16($0).bitPattern) })
    }
}

/// The bytes of an integer, lowest first.
func littleEndian<Integer: FixedWidthInteger>(_ value: Integer) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { Array($0) }
}

/// A valid file, which is built here without `SafetensorsWriter`.
func safetensors(_ tensors: [Fixture]) -> [UInt8] {
    var offset = 0
    let entries = tensors.map { tensor in
        defer { offset += tensor.bytes.count }
        return "\"\(tensor.name)\":{\"dtype\":\"\(tensor.type.rawValue)\",\"shape\":\(tensor.shape),"
            + "\"data_offsets\":[\(offset),\(offset + tensor.bytes.count)]}"
    }
    return safetensors(header: "{\(entries.joined(separator: ","))}", data: tensors.flatMap(\.bytes))
}

/// A repeatable source of numbers (SplitMix64).
struct Generator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
        return z ^ z >> 31
    }
}

extension MatrixSource {
    /// `readFloats` as an array.
    func floats(rows: Range<Int>, columns: Range<Int>) -> [Float] {
        [Float](unsafeUninitializedCapacity: rows.count * columns.count) { buffer, count in
            count = rows.count * columns.count
            if let out = buffer.baseAddress { readFloats(rows: rows, columns: columns, into: out) }
        }
    }

    /// `readCodes` as an array.
    func codes(rows: Range<Int>, columns: Range<Int>) -> [Int8] {
        [Int8](unsafeUninitializedCapacity: rows.count * columns.count) { buffer, count in
            count = rows.count * columns.count
            if let out = buffer.baseAddress { readCodes(rows: rows, columns: columns, into: out) }
        }
    }

    /// `readScales` as arrays.
    func scales(rows: Range<Int>, columns: Range<Int>) -> (scales: [Float], zeroPoints: [Float]) {
        let count = rows.count * groups(touching: columns).count
        var scales = [Float](repeating: .nan, count: count)
        var zeroPoints = scales
        scales.withUnsafeMutableBufferPointer { scales in
            zeroPoints.withUnsafeMutableBufferPointer { zeroPoints in
                if let first = scales.baseAddress {
                    readScales(rows: rows, columns: columns, into: first, zeroPoints: zeroPoints.baseAddress)
                }
            }
        }
        return (scales, zeroPoints)
    }
}
