import Glibc

/// Zeroed memory of its own, straight from the kernel, aligned to a page and given back when the owner goes.
///
/// Pages are touched by whoever writes to them first, so that on a machine with several memory nodes
/// they lie in the node of the worker that fills them.
public final class AlignedBuffer: @unchecked Sendable {
    // Sendable: the address and length never change; who writes where is the user's agreement (disjoint panels,
    // blocks).

    /// The first byte.
    public let baseAddress: UnsafeMutableRawPointer
    /// Bytes asked for.
    public let byteCount: Int

    /// Reserves `byteCount` bytes.
    ///
    /// - Parameter hugePages: ask for pages of 2 MiB, for what is read as a long stream.
    public init(byteCount: Int, hugePages: Bool = false) throws(MemoryError) {
        let length = max(byteCount, 1)
        let address = mmap(nil, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let address, address != MAP_FAILED else {
            throw MemoryError.exhausted(byteCount: byteCount)
        }
        if hugePages && length >= 8 << 20 { madvise(address, length, MADV_HUGEPAGE) }
        baseAddress = address
        self.byteCount = byteCount
    }

    /// Makes every page resident, so that running out of memory shows at once.
    public func touch() {
        for offset in stride(from: 0, to: byteCount, by: 4096) {
            baseAddress.storeBytes(of: 0, toByteOffset: offset, as: UInt8.self)
        }
    }

    deinit {
        munmap(baseAddress, max(byteCount, 1))
    }
}

/// Memory that could not be had.
public enum MemoryError: Error, CustomStringConvertible {
    case exhausted(byteCount: Int)

    public var description: String {
        switch self {
        case .exhausted(let byteCount):
            "the system refused \(formattedByteCount(byteCount)) of memory; "
                + "use more ranks, a smaller --max-model-len, or a smaller model"
        }
    }
}

/// A size for people: `1.50 GiB`.
public func formattedByteCount(_ byteCount: Int) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"]
    var value = Double(byteCount)
    var unit = 0
    // What would round to 1024.00 goes to the next unit.
    while value >= 1023.995 && unit + 1 < units.count {
        value /= 1024
        unit += 1
    }
    guard unit > 0 else { return "\(byteCount) B" }
    let hundredths = Int((value * 100).rounded())
    let fraction = hundredths % 100
    return "\(hundredths / 100).\(fraction < 10 ? "0" : "")\(fraction) \(units[unit])"
}
