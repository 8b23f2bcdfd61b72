import ArgumentParser

/// A size in bytes, as options take it: `64GiB`, `32GB`, `512MiB`, or a plain number of bytes.
///
/// `8G` means 8GiB, as in nccl-tests; upper and lower case mean the same.
public struct ByteSize: ExpressibleByArgument, CustomStringConvertible, Sendable {
    public let byteCount: Int
    /// Whether it was given in decimal units, such as GB.
    public private(set) var isDecimal = false

    public init(byteCount: Int) {
        self.byteCount = byteCount
    }

    /// The bytes of a card of this nominal size, if its maker's gigabyte has `gigabyte` bytes.
    ///
    /// Sizes that were given in GiB or in bytes are exact.
    public func bytes(ofGigabyte gigabyte: Double) -> Double {
        isDecimal ? Double(byteCount) / 1e9 * gigabyte : Double(byteCount)
    }

    public var description: String {
        let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("GB", 1_000_000_000), ("MB", 1_000_000)]
        guard byteCount > 0, let unit = units.first(where: { byteCount % $0.1 == 0 }) else { return "\(byteCount)" }
        return "\(byteCount / unit.1)\(unit.0)"
    }

    public init?(argument: String) {
        let units: [(String, Double)] = [
            ("KiB", 0x1p10), ("MiB", 0x1p20), ("GiB", 0x1p30), ("TiB", 0x1p40), ("KB", 1e3), ("MB", 1e6), ("GB", 1e9),
            ("TB", 1e12),
            ("B", 1), ("K", 0x1p10), ("M", 0x1p20), ("G", 0x1p30), ("T", 0x1p40), ("", 1),
        ]
        let argument = argument.lowercased()
        guard let unit = units.first(where: { argument.hasSuffix($0.0.lowercased()) }),
            let value = Double(argument.dropLast(unit.0.count)), value > 0, value * unit.1 < 1e18
        else { return nil }
        byteCount = Int(value * unit.1)
        isDecimal = unit.0.hasSuffix("B") && unit.0.count == 2
    }
}

/// A number of tokens, as options take it: `16K` is 16384.
public struct TokenCount: ExpressibleByArgument, CustomStringConvertible, Sendable {
    public let count: Int

    public init(_ count: Int) {
        self.count = count
    }

    public init?(argument: String) {
        let isThousands = argument.hasSuffix("K") || argument.hasSuffix("k")
        guard let value = Int(isThousands ? argument.dropLast() : Substring(argument)), value > 0, value < 1 << 40
        else { return nil }
        count = isThousands ? value * 1024 : value
    }

    public var description: String { "\(count)" }
}
