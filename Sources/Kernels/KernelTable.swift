import CKernels

/// The kernels of one instruction set.
public struct KernelTable: @unchecked Sendable {
    // Sendable: points at a constant table of functions.
    let functions: UnsafePointer<ck_kernels>

    /// As `--kernels` takes it: such as `avx512vnni`; `all` has every one.
    public let name: String
    /// Whether products of bfloat16 weights round their inputs to that type too, as the processor's instructions want it:
    /// other bits than those of tables that do not.
    public let roundsInputs: Bool
    /// Place in the order of preference of this architecture's tables.
    public let level: Int

    private init(_ functions: UnsafePointer<ck_kernels>) {
        self.functions = functions
        name = String(cString: functions.pointee.name)
        roundsInputs = functions.pointee.rounds_inputs
        level = Int(functions.pointee.level)
    }

    /// Every table of this architecture, best last, and whether this processor runs it.
    public static var all: [(table: KernelTable, runs: Bool)] {
        var result: [(KernelTable, Bool)] = []
        var runs = false
        while let functions = ck_table(Int32(result.count), &runs) {
            result.append((KernelTable(functions), runs))
        }
        return result
    }

    /// The tables that this processor runs, best last; `scalar` is always one.
    public static var supported: [KernelTable] { all.filter(\.runs).map(\.table) }

    /// The table of that name, or the best; nil if there is none or the processor cannot run it.
    public static func select(_ name: String? = nil) -> KernelTable? {
        ck_select(name).map(KernelTable.init)
    }
}
