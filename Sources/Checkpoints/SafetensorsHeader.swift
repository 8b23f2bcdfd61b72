import JSON
import Messages
import Tensors

/// What the header of a safetensors file says about one tensor.
public struct TensorDescription: Equatable, Sendable {
    public let name: String
    public let type: ElementType
    /// Extents, outermost first; empty for a scalar.
    public let shape: [Int]

    /// Describes a tensor of `shape`, whose extents are not negative.
    public init(name: String, type: ElementType, shape: [Int]) {
        self.name = name
        self.type = type
        self.shape = shape
    }

    /// The size of the tensor's elements in bytes; nil if it does not fit an `Int`.
    public var byteCount: Int? {
        var count = type.byteCount
        // A tensor with an extent of 0 is empty, even if the product of the others overflows.
        guard !shape.contains(0) else { return 0 }
        for extent in shape {
            let (product, overflow) = count.multipliedReportingOverflow(by: extent)
            guard !overflow else { return nil }
            count = product
        }
        return count
    }
}

/// The parsed and checked header of a safetensors file.
///
/// Layout: the header's length as a little-endian UInt64, that many bytes of JSON (first byte `{`, padded with
/// spaces), then the data; offsets count from the start of the data. Source: the format section of
/// https://github.com/huggingface/safetensors and the checks of its reader (`Metadata::validate`), which refuses
/// holes between tensors and bytes after the last one.
struct SafetensorsHeader {
    struct Entry {
        let description: TensorDescription
        /// Bytes from the start of the file.
        let range: Range<Int>
    }

    /// The longest header that the format's own reader accepts.
    static let maximumByteCount = 100_000_000

    /// The tensors, in the order of their data.
    let entries: [Entry]
    /// The text-to-text map stored under `__metadata__`.
    let metadata: [String: String]

    init(of file: UnsafeRawBufferPointer, path: String) throws(CheckpointError) {
        let json = try Self.headerBytes(of: file, path: path)
        let root: JSONValue
        do {
            root = try JSONValue(parsing: json, as: .strict)
        } catch {
            throw .malformedFile(path: path, problem: "its header is not valid JSON: \(error)")
        }
        guard let members = root.members else {
            throw .malformedFile(path: path, problem: "its header is not a JSON object")
        }
        let dataStart = 8 + json.count
        var metadata: [String: String] = [:]
        var entries: [Entry] = []
        entries.reserveCapacity(members.count)
        for member in members {
            if member.name == "__metadata__" {
                metadata = try Self.parseMetadata(member.value, path: path)
            } else {
                entries.append(try Self.parseEntry(member, dataStart: dataStart, path: path))
            }
        }
        entries.sort {
            ($0.range.lowerBound, $0.range.upperBound) < ($1.range.lowerBound, $1.range.upperBound)
        }
        self.entries = entries
        self.metadata = metadata
        try checkCoverage(dataStart: dataStart, fileByteCount: file.count, path: path)
    }

    private static func headerBytes(
        of file: UnsafeRawBufferPointer, path: String
    ) throws(CheckpointError) -> UnsafeRawBufferPointer {
        guard file.count >= 8 else {
            throw .malformedFile(path: path, problem: "it has \(file.count) bytes, too few for a safetensors header")
        }
        if let hint = pointerHint(file.prefix(64)) { throw .pointer(path: path, hint: hint) }
        let length = UInt64(littleEndian: file.loadUnaligned(as: UInt64.self))
        guard length <= UInt64(maximumByteCount) else {
            throw .malformedFile(
                path: path,
                problem: "its header claims \(length) bytes; \(maximumByteCount) is the format's limit")
        }
        guard Int(length) <= file.count - 8 else {
            throw .truncated(path: path, missingByteCount: Int(length) - (file.count - 8))
        }
        return UnsafeRawBufferPointer(rebasing: file[8..<8 + Int(length)])
    }

    private static func parseMetadata(
        _ value: JSONValue, path: String
    ) throws(CheckpointError) -> [String: String] {
        var metadata: [String: String] = [:]
        guard let members = value.members else {
            throw .malformedFile(path: path, problem: "__metadata__ is not a JSON object")
        }
        for member in members {
            guard let text = member.value.stringValue else {
                throw .malformedFile(path: path, problem: "__metadata__ \(quoted(member.name)) is not a string")
            }
            metadata[member.name] = text
        }
        return metadata
    }

    private static func parseEntry(
        _ member: JSONMember, dataStart: Int, path: String
    ) throws(CheckpointError) -> Entry {
        func malformed(_ problem: String) -> CheckpointError {
            .malformedTensor(name: member.name, path: path, problem: problem)
        }
        guard let typeName = member.value["dtype"]?.stringValue else { throw malformed("it has no dtype") }
        guard let type = ElementType(rawValue: typeName) else { throw malformed("unknown dtype \(quoted(typeName))") }
        guard let extents = member.value["shape"]?.elements else { throw malformed("it has no shape") }
        var shape: [Int] = []
        for extent in extents {
            guard let value = extent.integerValue, value >= 0 else {
                throw malformed("its shape holds \(extent.summary), not a whole number from 0 to 2^63 - 1")
            }
            shape.append(value)
        }
        guard let offsets = member.value["data_offsets"]?.elements, offsets.count == 2 else {
            throw malformed("it has no pair of data_offsets")
        }
        guard let begin = offsets[0].integerValue, let end = offsets[1].integerValue, begin >= 0, end >= begin else {
            throw malformed("its data_offsets [\(offsets[0].summary), \(offsets[1].summary)] are not a range")
        }
        let description = TensorDescription(name: member.name, type: type, shape: shape)
        guard let byteCount = description.byteCount else {
            throw malformed("its shape \(listed(shape)) has more bytes than an address can count")
        }
        guard byteCount == end - begin else {
            throw malformed(
                "\(typeName) \(listed(shape)) takes \(byteCount) bytes; its data_offsets span \(end - begin)")
        }
        let (fileEnd, overflow) = end.addingReportingOverflow(dataStart)
        guard !overflow else { throw malformed("its data_offsets end at \(end), beyond any file") }
        return Entry(description: description, range: begin + dataStart..<fileEnd)
    }

    /// Checks that the tensors cover the data exactly, without overlap or hole, from its start to its end.
    private func checkCoverage(dataStart: Int, fileByteCount: Int, path: String) throws(CheckpointError) {
        var end = dataStart
        var previous = "the header"
        for entry in entries {
            let name = entry.description.name
            guard entry.range.lowerBound >= end else {
                throw .malformedTensor(
                    name: name, path: path,
                    problem: "its data overlaps that of \(previous) by \(end - entry.range.lowerBound) bytes")
            }
            guard entry.range.lowerBound == end else {
                // If a tensor points beyond the file, the hole is where it should be; it is named, not its neighbour.
                if let last = entries.last, last.range.upperBound > fileByteCount {
                    throw .malformedTensor(
                        name: last.description.name, path: path,
                        problem: "its data_offsets end \(last.range.upperBound - fileByteCount) bytes beyond the file")
                }
                throw .malformedTensor(
                    name: name, path: path,
                    problem: "\(entry.range.lowerBound - end) bytes between it and \(previous) belong to no tensor")
            }
            end = entry.range.upperBound
            previous = quoted(name)
        }
        guard end <= fileByteCount else {
            throw .truncated(path: path, missingByteCount: end - fileByteCount)
        }
        guard end == fileByteCount else {
            throw .malformedFile(path: path, problem: "\(fileByteCount - end) bytes after the last tensor")
        }
    }
}
