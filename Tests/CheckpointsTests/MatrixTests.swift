import Foundation
import Tensors
import Testing

@testable import Checkpoints

/// A quantized matrix as numbers, and its stored form by the plainest definition.
private struct PlainMatrix {
    let rows: Int
    let columns: Int
    let bits: Int
    let granularity: QuantizationConfiguration.Granularity
    let isSymmetric: Bool
    /// Signed codes; zero points are signed too.
    var codes: [[Int]] = []
    var scales: [[Float]] = []
    var zeroPoints: [[Int]] = []

    var groupSize: Int {
        if case .group(let size) = granularity { size } else { columns }
    }
    var groupCount: Int { (columns + groupSize - 1) / groupSize }

    init(
        rows: Int, columns: Int, bits: Int, _ granularity: QuantizationConfiguration.Granularity, symmetric: Bool,
        using generator: inout Generator
    ) {
        (self.rows, self.columns, self.bits, self.granularity) = (rows, columns, bits, granularity)
        isSymmetric = symmetric
        let range = -(1 << (bits - 1))..<(1 << (bits - 1))
        for row in 0..<rows {
            codes.append((0..<columns).map { _ in Int.random(in: range, using: &generator) })
            let isCopy = granularity == .tensor && row > 0
            scales.append(
                isCopy
                    ? scales[0]
                    : (0..<groupCount).map { _ in Float(Int.random(in: 1..<256, using: &generator)) / 64 })
            zeroPoints.append(
                symmetric
                    ? [Int](repeating: 0, count: groupCount)
                    : isCopy ? zeroPoints[0] : (0..<groupCount).map { _ in Int.random(in: range, using: &generator) })
        }
    }

    func value(_ row: Int, _ column: Int) -> Float {
        let group = column / groupSize
        return scales[row][group] * Float(codes[row][column] - zeroPoints[row][group])
    }

    /// The words of one packed line: code + 2^(bits-1), first in the lowest bits.
    func words(_ line: [Int]) -> [UInt32] {
        let perWord = 32 / bits
        return stride(from: 0, to: line.count, by: perWord).map { start in
            line[start..<min(start + perWord, line.count)].enumerated().reduce(UInt32(0)) { word, item in
                word | UInt32(item.element + 1 << (bits - 1)) << UInt32(item.offset * bits)
            }
        }
    }

    /// The tensors in the file; scales of `type`, all of whose values here are exact in bfloat16.
    func fixtures(_ name: String, scaleType: ElementType) -> [Fixture] {
        let packed = codes.map(words)
        let scaleBytes = (granularity == .tensor ? [scales[0]] : scales).joined().flatMap { scale -> [UInt8] in
            switch scaleType {
            case .float32: littleEndian(scale.bitPattern)
            case .float16: littleEndian(Float16(scale).bitPattern)
            default: littleEndian(BFloat16(scale).bitPattern)
            }
        }
        var fixtures = [
            Fixture("\(name).weight_shape", .int64, [2], littleEndian(Int64(rows)) + littleEndian(Int64(columns))),
            Fixture(
                "\(name).weight_packed", .int32, [rows, packed[0].count], packed.joined().flatMap { littleEndian($0) }),
            Fixture(
                "\(name).weight_scale", scaleType, granularity == .tensor ? [1] : [rows, groupCount], scaleBytes),
        ]
        if !isSymmetric, granularity == .tensor {
            fixtures.append(Fixture("\(name).weight_zero_point", .int8, [1], littleEndian(Int8(zeroPoints[0][0]))))
        } else if !isSymmetric {
            // Packed along the rows: the words of one group are a column.
            let columns = (0..<groupCount).map { group in words(zeroPoints.map { $0[group] }) }
            let bytes = columns[0].indices.flatMap { word in columns.flatMap { littleEndian($0[word]) } }
            fixtures.append(Fixture("\(name).weight_zero_point", .int32, [columns[0].count, groupCount], bytes))
        }
        return fixtures
    }

    var configuration: String {
        let strategy =
            switch granularity {
            case .group(let size): "\"strategy\":\"group\",\"group_size\":\(size)"
            case .channel: "\"strategy\":\"channel\",\"group_size\":null"
            case .tensor: "\"strategy\":\"tensor\",\"group_size\":null"
            }
        return packQuantizedConfiguration(weights: "\"num_bits\":\(bits),\"symmetric\":\(isSymmetric),\(strategy)")
    }
}

/// A config.json that declares pack-quantized weights of this description.
func packQuantizedConfiguration(weights: String, ignore: String = "[\"lm_head\"]") -> String {
    "{\"quantization_config\":{\"quant_method\":\"compressed-tensors\",\"format\":\"pack-quantized\",\"ignore\":\(ignore),"
        + "\"config_groups\":{\"group_0\":{\"targets\":[\"Linear\"],\"weights\":{\"type\":\"int\",\(weights)}}}}}"
}

@Suite struct MatrixTests {
    let directory: TemporaryDirectory

    init() throws {
        directory = try TemporaryDirectory()
    }

    func matrix(
        _ fixtures: [Fixture], configuration: String? = nil, named name: String = "w"
    ) throws -> any MatrixSource {
        try directory.write("model.safetensors", safetensors(fixtures))
        if let configuration { try directory.write("config.json", configuration) }
        let checkpoint = try Checkpoint(directory: directory.path)
        return try checkpoint.matrix(named: name, quantization: checkpoint.quantizationConfiguration())
    }

    /// Row and column ranges of every parity, empty and whole ones included.
    func ranges(_ count: Int) -> [Range<Int>] {
        let points = Set([0, 1, 2, 7, 8, 9, 16, 31, count / 2, count - 3, count - 1, count]).filter { 0...count ~= $0 }
        return points.flatMap { low in points.filter { $0 >= low }.map { low..<$0 } }
    }

    @Test(arguments: [4, 8], [true, false])
    func packedStripsEqualTheDefinition(bits: Int, symmetric: Bool) throws {
        var generator = Generator(state: 7)
        let granularities: [QuantizationConfiguration.Granularity] = [
            .group(8), .group(32), .group(5), .channel, .tensor,
        ]
        for (index, granularity) in granularities.enumerated() {
            let plain = PlainMatrix(
                rows: 13, columns: 83, bits: bits, granularity, symmetric: symmetric, using: &generator)
            let scaleType = [ElementType.bfloat16, .float16, .float32][index % 3]
            let source = try matrix(
                plain.fixtures("w", scaleType: scaleType),
                configuration: plain.configuration)
            #expect(source.rows == 13 && source.columns == 83)
            #expect(
                source.encoding
                    == .integer(
                        bits: bits,
                        WeightGroups(size: plain.groupSize, isSymmetric: symmetric, scaleType: scaleType)))
            for rows in [0..<13, 0..<0, 0..<1, 3..<8, 7..<9, 12..<13] {
                for columns in ranges(83) {
                    let cells = rows.flatMap { row in columns.map { (row, $0) } }
                    #expect(source.floats(rows: rows, columns: columns) == cells.map { plain.value($0.0, $0.1) })
                    #expect(source.codes(rows: rows, columns: columns) == cells.map { Int8(plain.codes[$0.0][$0.1]) })
                    let groups = Set(columns.map { $0 / plain.groupSize }).sorted()
                    let (scales, zeroPoints) = source.scales(rows: rows, columns: columns)
                    #expect(scales == rows.flatMap { row in groups.map { plain.scales[row][$0] } })
                    #expect(zeroPoints == rows.flatMap { row in groups.map { Float(plain.zeroPoints[row][$0]) } })
                }
            }
        }
    }

    @Test func floatStripsEqualTheDefinition() throws {
        var generator = Generator(state: 11)
        let (rows, columns) = (5, 37)
        let values = (0..<rows * columns).map { _ in Float(Int.random(in: -255...255, using: &generator)) / 128 }
        for type in [ElementType.float32, .float16, .bfloat16] {
            let bytes = values.flatMap { value -> [UInt8] in
                switch type {
                case .float32: littleEndian(value.bitPattern)
                case .float16: littleEndian(Float16(value).bitPattern)
                default: littleEndian(BFloat16(value).bitPattern)
                }
            }
            // A tensor of one byte before it puts the data at an odd address.
            let source = try matrix([
                Fixture("a", .uint8, [1], [0]), Fixture("w.weight", type, [rows, columns], bytes),
            ])
            #expect(source.encoding == .float(type))
            for rowRange in ranges(rows) {
                for columnRange in ranges(columns) {
                    let expected = rowRange.flatMap { row in columnRange.map { values[row * columns + $0] } }
                    #expect(source.floats(rows: rowRange, columns: columnRange) == expected)
                }
            }
        }
    }

    /// All 65,536 halves are converted as the standard library converts them.
    @Test func everyHalf() throws {
        let bytes = (0...UInt16.max).flatMap { littleEndian($0) }
        let source = try matrix([Fixture("w.weight", .float16, [256, 256], bytes)])
        for (bits, value) in source.floats(rows: 0..<256, columns: 0..<256).enumerated() {
            let expected = Float(Float16(bitPattern: UInt16(bits)))
            #expect(value == expected || value.isNaN && expected.isNaN, "bits \(bits): \(value), expected \(expected)")
            #expect(value.sign == expected.sign)
        }
    }

    /// One packed word of each width, byte by byte: codes -8...-1 and -128, -1, 0, 127.
    @Test func knownWords() throws {
        func single(bits: Int, columns: Int, word: [UInt8]) throws -> [Int8] {
            let source = try matrix(
                [
                    Fixture("w.weight_shape", .int64, [2], littleEndian(Int64(1)) + littleEndian(Int64(columns))),
                    Fixture("w.weight_packed", .int32, [1, 1], word),
                    Fixture("w.weight_scale", bfloat16: [1], shape: [1, 1]),
                ],
                configuration: packQuantizedConfiguration(
                    weights: "\"num_bits\":\(bits),\"symmetric\":true,\"strategy\":\"channel\""))
            return source.codes(rows: 0..<1, columns: 0..<columns)
        }
        #expect(try single(bits: 4, columns: 8, word: [0x10, 0x32, 0x54, 0x76]) == [-8, -7, -6, -5, -4, -3, -2, -1])
        #expect(try single(bits: 4, columns: 8, word: [0x8F, 0xE9, 0x08, 0xDC]) == [7, 0, 1, 6, 0, -8, 4, 5])
        #expect(try single(bits: 4, columns: 3, word: [0x8F, 0x09, 0, 0]) == [7, 0, 1])
        #expect(try single(bits: 8, columns: 4, word: [0x00, 0x7F, 0x80, 0xFF]) == [-128, -1, 0, 127])
    }

    @Test func groupIndex() throws {
        var generator = Generator(state: 3)
        let plain = PlainMatrix(rows: 2, columns: 16, bits: 4, .group(8), symmetric: true, using: &generator)
        func open(_ index: [Int32]) throws -> any MatrixSource {
            let bytes = index.flatMap { littleEndian($0) }
            return try matrix(
                plain.fixtures("w", scaleType: .bfloat16)
                    + [Fixture("w.weight_g_idx", .int32, [index.count], bytes)],
                configuration: plain.configuration)
        }
        let identity = (0..<16).map { Int32($0 / 8) }
        #expect(try open(identity).columns == 16)
        #expect(try open([Int32](repeating: -1, count: 16)).columns == 16)
        do {
            _ = try open(identity.reversed())
            Issue.record("a reordering was accepted")
        } catch let error as CheckpointError {
            guard case .unsupported(_, let feature) = error else {
                Issue.record("\(error)")
                return
            }
            #expect(feature.contains("w.weight_g_idx"))
        }
        #expect(throws: CheckpointError.self) { try open([0, 1]) }
    }

    /// If one of the four tensors is missing or has a wrong shape or type, the error names it.
    @Test func tensorsThatDoNotFit() throws {
        var generator = Generator(state: 5)
        let plain = PlainMatrix(rows: 4, columns: 16, bits: 4, .group(8), symmetric: false, using: &generator)
        let sound = plain.fixtures("w", scaleType: .bfloat16)
        for (index, fixture) in sound.enumerated() where fixture.name != "w.weight_packed" {
            var fixtures = sound
            fixtures.remove(at: index)
            #expect(throws: CheckpointError.missingTensor(name: fixture.name, directory: directory.path)) {
                try matrix(fixtures, configuration: plain.configuration)
            }
        }
        for index in sound.indices {
            var fixtures = sound
            let old = fixtures[index]
            fixtures[index] = Fixture(old.name, old.type, [1] + old.shape, old.bytes)
            do {
                _ = try matrix(fixtures, configuration: plain.configuration)
                Issue.record("\(old.name) of a wrong shape was accepted")
            } catch let error as CheckpointError {
                guard case .malformedTensor(old.name, _, _) = error else {
                    Issue.record("\(old.name): \(error)")
                    continue
                }
            }
        }
        for extents: [Int64] in [[-4, 16], [.max, .max], [4, 17], [5, 16]] {
            var fixtures = sound
            fixtures[0] = Fixture("w.weight_shape", .int64, [2], extents.flatMap { littleEndian($0) })
            #expect(throws: CheckpointError.self) { try matrix(fixtures, configuration: plain.configuration) }
        }
    }

    @Test func matricesThatAreNot() throws {
        let fixtures = [
            Fixture("v.weight", .float32, [1], [0, 0, 0, 0]), Fixture("d.weight", .float64, [0, 1], []),
            Fixture("i.weight", .int8, [1, 1], [0]), Fixture("p.weight_packed", .int32, [0, 0], []),
            Fixture("lm_head.weight_packed", .int32, [0, 0], []),
        ]
        for name in ["v", "d", "i", "p", "absent"] {
            #expect(throws: CheckpointError.self, "\(name)") { try matrix(fixtures, named: name) }
        }
        let configuration = packQuantizedConfiguration(weights: "\"num_bits\":4,\"strategy\":\"channel\"")
        do {
            _ = try matrix(fixtures, configuration: configuration, named: "lm_head")
            Issue.record("an ignored module that is quantized was accepted")
        } catch let error as CheckpointError {
            #expect(error.description.contains("excludes"))
        }
    }
}
