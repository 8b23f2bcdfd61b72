import Foundation

/// Formats bytes for display, such as `3.1 GiB` or `860 MiB`.
public func gibibytes(_ bytes: Double) -> String {
    guard abs(bytes) < 0x1p62 else { return "too many bytes" }
    return abs(bytes) < 0x1p30
        ? "\(Int((bytes / 0x1p20).rounded())) MiB" : "\((bytes / 0x1p30 * 10).rounded() / 10) GiB"
}

/// Formats a number of tokens for display; `4K` is 4096.
public func shortLength(_ length: Int) -> String {
    length % 1024 == 0 ? "\(length / 1024)K" : "\(length)"
}

/// Formats a large count for display, such as `6.74 G`.
func shownCount(_ count: Int) -> String {
    count >= 1_000_000_000
        ? "\((Double(count) / 1e7).rounded() / 100) G" : "\((Double(count) / 1e4).rounded() / 100) M"
}

/// Converts bytes to a whole number, limited to the range 0 to 2⁶².
public func clamped(_ bytes: Double) -> Int { Int(min(max(bytes, 0), 0x1p62)) }

/// Formats a count with its noun, such as `1 card` or `2 cards`.
func counted(_ count: Int, _ thing: String) -> String { "\(count) \(thing)\(count == 1 ? "" : "s")" }

/// Formats a number with three significant digits.
public func shown(_ value: Double) -> String {
    guard value != 0, value.isFinite else { return value == 0 ? "0" : "-" }
    guard abs(value) < 1e6 else {
        let exponent = Int(log10(abs(value)).rounded(.down))
        return "\((value / pow(10, Double(exponent - 2))).rounded() / 100)e\(exponent)"
    }
    let unit = pow(10, 2 - log10(abs(value)).rounded(.down))
    let rounded = (value * unit).rounded() / unit
    return rounded == rounded.rounded() ? "\(Int(rounded))" : "\(rounded)"
}

/// A value that JSON writes as `null` if there is none, so that the key is always present.
@propertyWrapper public struct OrNull<Value: Encodable>: Encodable {
    public var wrappedValue: Value?

    public init(wrappedValue: Value?) {
        self.wrappedValue = wrappedValue
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        if let wrappedValue { try container.encode(wrappedValue) } else { try container.encodeNil() }
    }
}
