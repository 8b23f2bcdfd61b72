import Collectives
import Engine
import Foundation
import Glibc
import Hashing
import JSON
import Layers
import ProgramEntry

/// The record of a step that was traced on this rank.
public struct TracedStep: Sendable {
    public let number: Int
    public let isPrefill: Bool
    public let entries: [StepTrace.Entry]

    /// The step itself, which ends last.
    public var whole: StepTrace.Entry? { entries.last }
}

/// Keeps the records of this rank's traced steps, and writes those of all ranks into one file.
public final class TraceRecorder {
    /// The traced steps of this rank, in order.
    public private(set) var steps: [TracedStep] = []

    private let arguments: TraceArguments
    private let world: any Communicator
    private var file: OutputFile?

    private static let clockTag = MessageTag(rawValue: 2)
    /// The number of exchanges from which the difference of two clocks is taken.
    private static let clockExchanges = 32

    init(_ arguments: TraceArguments, over world: any Communicator) {
        self.arguments = arguments
        self.world = world
    }

    /// Opens the file on rank 0, so that a path that cannot be written is known before weights are read.
    func begin() throws {
        guard world.rank == 0, let path = arguments.trace else { return }
        file = try OutputFile(path, option: "--trace")
    }

    /// Keeps the record of a step, unless the user only wants it printed.
    func add(_ trace: StepTrace, step: Int) {
        if arguments.printedStep == step { trace.print(step: step, rank: world.rank) }
        if arguments.printedStep == step, !arguments.isSaved(step) { return }
        steps.append(TracedStep(number: step, isPrefill: trace.isPrefill, entries: trace.entries))
    }

    /// Gives the events of all ranks on rank 0, and nothing on the others; nil if no file is wanted.
    ///
    /// Every rank must call it. Each event has a comma and a line break after it.
    func gatherEvents() throws(CommunicationError) -> [UInt8]? {
        guard arguments.trace != nil else { return nil }
        let saved = steps.filter { arguments.isSaved($0.number) }
        let boot = FileManager.default.contents(atPath: "/proc/sys/kernel/random/boot_id") ?? Data()
        let kernel = WordHash(of: String(decoding: boot, as: UTF8.self)).value
        let offset = try Self.clockOffset(over: world, kernel: kernel, now: StepTrace.now)
        // The first step of any rank begins at 0.
        let starts = try world.gatherAll([saved.first?.whole.map { $0.start + offset } ?? .max]).map { $0[0] }
        let origin = starts.filter { $0 != .max }.min() ?? 0
        let host = try world.gatherHostNames()[world.rank]
        let text = ChromeTrace(rank: world.rank, host: host, clock: offset - origin).events(of: saved)
        let mine = saved.isEmpty ? [] : Array(text.utf8)
        let counts = try world.gatherAll([mine.count]).map { $0[0] }
        var all = [UInt8](repeating: 0, count: world.rank == 0 ? counts.reduce(0, +) : 0)
        try gather(mine, counts, into: &all)
        return all
    }

    /// Writes the events on rank 0.
    func write(_ events: [UInt8]) throws {
        guard let file else { return }
        // The last event must have no comma.
        let text =
            Array("{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n".utf8) + events.dropLast(2)
            + Array("\n]}\n".utf8)
        try text.withUnsafeBytes { try file.write($0) }
        try file.commit()
    }

    private func gather(_ mine: [UInt8], _ counts: [Int], into all: inout [UInt8]) throws(CommunicationError) {
        do {
            try mine.withUnsafeBytes { mine in
                try all.withUnsafeMutableBytes { try world.gather(mine, byteCounts: counts, into: $0, to: 0) }
            }
        } catch let error as CommunicationError {
            throw error
        } catch {
            preconditionFailure("gather throws nothing else")
        }
    }

    /// Gives the nanoseconds by which rank 0's monotonic clock is ahead of this rank's; every rank must call it.
    ///
    /// Ranks under one kernel have one clock. For others, rank 0 asks each rank for its time, and takes the answer that
    /// came back fastest to have been given halfway.
    ///
    /// - Parameters:
    ///   - kernel: the same number for ranks under the same kernel.
    ///   - now: reads this rank's clock, in nanoseconds.
    static func clockOffset(
        over world: any Communicator, kernel: UInt64, now: () -> Int64
    ) throws(CommunicationError) -> Int64 {
        let kernels = try world.gatherAll([kernel]).map { $0[0] }
        var offsets = [Int64](repeating: 0, count: world.size)
        let time = UnsafeMutableBufferPointer<Int64>.allocate(capacity: 1)
        time.initialize(repeating: 0)
        defer { time.deallocate() }
        let bytes = UnsafeMutableRawBufferPointer(time)
        for rank in 1..<max(1, world.size) where kernels[rank] != kernels[0] {
            var fastest = Int64.max
            for _ in 0..<clockExchanges {
                if world.rank == 0 {
                    let sent = now()
                    try world.send(UnsafeRawBufferPointer(bytes), to: rank, tag: clockTag)
                    try world.receive(into: bytes, from: rank, tag: clockTag)
                    let received = now()
                    guard received - sent < fastest else { continue }
                    fastest = received - sent
                    offsets[rank] = sent + (received - sent) / 2 - time[0]
                } else if world.rank == rank {
                    try world.receive(into: bytes, from: 0, tag: clockTag)
                    time[0] = now()
                    try world.send(UnsafeRawBufferPointer(bytes), to: 0, tag: clockTag)
                }
            }
        }
        return try world.gatherAll(offsets)[0][world.rank]
    }
}

/// One rank's events in Chrome's trace format ("Trace Event Format", Google, 2016): a process for each rank.
struct ChromeTrace {
    let rank: Int
    let host: String
    /// The nanoseconds to add to times of this rank's clock.
    let clock: Int64

    /// Gives the events, each with a comma and a line break after it.
    func events(of steps: [TracedStep]) -> String {
        let name = JSONValue.encoded("rank \(rank) on \(host)")
        var text = """
            {"name":"process_name","ph":"M","pid":\(rank),"tid":0,"args":{"name":\(name)}},
            {"name":"process_sort_index","ph":"M","pid":\(rank),"tid":0,"args":{"sort_index":\(rank)}},

            """
        for step in steps {
            for entry in step.entries {
                add(entry, step: step.number, to: &text)
                // The wait of an exchange and the rest are events inside it.
                guard entry.wait > 0 else { continue }
                let wait = min(entry.wait, entry.duration)
                add("wait", "part", entry.start, wait, "", to: &text)
                add("transfer", "part", entry.start + wait, entry.duration - wait, "", to: &text)
            }
        }
        return text
    }

    private func add(_ entry: StepTrace.Entry, step: Int, to text: inout String) {
        let operation = entry.operation
        var arguments = "\"step\":\(step)"
        if let layer = operation.layer { arguments += ",\"layer\":\(layer)" }
        if operation.columns > 0 { arguments += ",\"shape\":\"\(operation.rows) x \(operation.columns)\"" }
        // A byte in a nanosecond is a gigabyte in a second.
        let time = Double(max(1, entry.duration))
        if operation.byteCount > 0 {
            arguments += ",\"bytes\":\(operation.byteCount),\"gb_per_s\":\(rounded(Double(operation.byteCount) / time))"
        }
        if operation.operationCount > 0 {
            arguments +=
                ",\"operations\":\(operation.operationCount)"
                + ",\"gop_per_s\":\(rounded(Double(operation.operationCount) / time))"
        }
        let isLayer = operation.kind == nil && operation.layer != nil
        add(
            "\(operation.name)" + (isLayer ? " \(operation.layer ?? 0)" : ""), operation.kind?.rawValue ?? "whole",
            entry.start, entry.duration, arguments, to: &text)
    }

    private func add(
        _ name: String, _ category: String, _ start: Int64, _ duration: Int64, _ arguments: String,
        to text: inout String
    ) {
        text += "{\"name\":\"\(name)\",\"cat\":\"\(category)\",\"ph\":\"X\",\"ts\":\(microseconds(start + clock)),"
        text += "\"dur\":\(microseconds(duration)),\"pid\":\(rank),\"tid\":0,\"args\":{\(arguments)}},\n"
    }

    private func rounded(_ value: Double) -> Double { (value * 100).rounded() / 100 }

    /// Formats nanoseconds as microseconds, exactly.
    private func microseconds(_ nanoseconds: Int64) -> String {
        let (whole, rest) = (nanoseconds.magnitude / 1000, nanoseconds.magnitude % 1000)
        let digits = String(rest)
        return (nanoseconds < 0 ? "-" : "") + "\(whole)." + String(repeating: "0", count: 3 - digits.count) + digits
    }
}
