import CKernels

/// The kernels of one instruction set.
public struct KernelTable: @unchecked Sendable {
    // It is Sendable because it points at a constant table of functions.
    let functions: UnsafePointer<ck_kernels>

    /// The name that `--kernels` takes, such as `avx512vnni`.
    public let name: String
    /// Whether products with bfloat16 weights round their inputs to bfloat16 too, as the processor's instructions
    /// require.
    ///
    /// The bits of such products differ from those of tables that do not round.
    public let roundsInputs: Bool
    /// The place in the order of preference of this architecture's tables, which is also the index in `all`.
    public let level: Int

    init(_ functions: UnsafePointer<ck_kernels>, level: Int) {
        self.functions = functions
        name = String(cString: functions.pointee.name)
        roundsInputs = functions.pointee.rounds_inputs
        self.level = level
    }

    /// Every table of this architecture, best last, and whether this processor can run it.
    public static var all: [(table: KernelTable, runs: Bool)] {
        var result: [(KernelTable, Bool)] = []
        var runs = false
        while let functions = ck_table(Int32(result.count), &runs) {
            result.append((KernelTable(functions, level: result.count), runs))
        }
        return result
    }

    /// The tables that this processor can run, best last; `scalar` is always one of them.
    public static var supported: [KernelTable] { all.filter(\.runs).map(\.table) }

    /// Gives the table of that name, or the default one without a name; nil if there is none or the processor cannot
    /// run it.
    public static func select(_ name: String? = nil) -> KernelTable? {
        common([choices(name)])
    }

    /// Tells whether the table is fast on processors of this maker that can run it.
    ///
    /// The rule depends on the maker and not on a measurement at the start, because tables can differ in bits.
    public func isFast(on vendor: ProcessorVendor) -> Bool { ck_is_fast(Int32(level), vendor.rawValue) }

    /// Gives the tables that a rank may use, as a bit for each index in `all`: the tables that are fast here, or the
    /// one that is named.
    public static func choices(
        _ name: String? = nil, supported: [KernelTable] = supported, vendor: ProcessorVendor = .current
    ) -> UInt64 {
        supported.filter { name.map($0.name.elementsEqual) ?? $0.isFast(on: vendor) }
            .reduce(0) { $0 | 1 << UInt64($1.level) }
    }

    /// Gives the best table that is among the choices of every rank; nil if they have none in common.
    public static func common(_ choices: [UInt64]) -> KernelTable? {
        let shared = choices.reduce(UInt64.max, &)
        return all.last { shared >> UInt64($0.table.level) & 1 == 1 }?.table
    }
}

/// The maker of a processor, as far as the choice of a table depends on it.
public enum ProcessorVendor: Int32, Sendable, CaseIterable {
    // The values are the same as in CKernels.h.
    case other = 0
    case intel = 1
    case amd = 2

    /// The maker of this machine's processor.
    public static var current: ProcessorVendor { ProcessorVendor(rawValue: ck_vendor()) ?? .other }
}
