import CProcess
import Collectives
import Foundation
import JobWatch
import MPICollectives
import Testing

/// What one rank of a job does that `EndingTests` starts: the job ends well, badly or by force in the middle of
/// collectives.
///
/// The scenario's name comes in a variable; without it there is nothing to do.
let scenario = ProcessInfo.processInfo.environment["TRIREME_TEST_SCENARIO"]

@Suite(.enabled(if: scenario != nil, "started by EndingTests"))
struct LossScenario {
    struct Broken: Error, CustomStringConvertible {
        let description: String
    }

    struct Interrupted: Error {}

    @Test func play() throws {
        // What every program does at its entry.
        if let name = strdup("scenario") { cprocess_install(name) }
        let seconds = ProcessInfo.processInfo.environment["TRIREME_TEST_TIMEOUT"].flatMap(Int.init) ?? 2
        var collectives = CollectiveOptions()
        // A machine with other work may take longer than that to start.
        collectives.timeout = .seconds(scenario?.hasSuffix("Ending") == true ? 5 : 60)
        withMPI(collectives) { world in
            let options = HeartbeatOptions(timeout: .seconds(seconds))
            try withHeartbeat(over: world, options: options) { heartbeat in
                try play(world, heartbeat)
            }
            // The heartbeat has said goodbye, and MPI has not ended.
            switch (scenario, world.rank) {
            case ("stopEnding", 1): kill(getpid(), SIGSTOP)
            case ("killEnding", 1): kill(getpid(), SIGKILL)
            default: break
            }
        } exitStatus: {
            $0 is Interrupted ? 130 : 66
        } report: { error in
            write("reported: \(error)\n")
        }
    }

    private func play(_ world: any Communicator, _ heartbeat: Heartbeat) throws {
        write("pid \(getpid()) group \(getpgid(getppid()))\n")
        let name = scenario ?? ""
        if name == "agreed" {
            try agree(on: world, status: { _ in 65 }) {
                if world.rank == 1 { throw Broken(description: "the file is cut short") }
            }
        }
        var values = [Float](repeating: 0, count: 1000)
        let end = ContinuousClock.now + .seconds(["clean", "stopEnding", "killEnding"].contains(name) ? 1 : 60)
        var step = 0
        while true {
            heartbeat.activity.enter(.decode, step: 17)
            try values.withUnsafeMutableBufferPointer { try world.allReduce($0) }
            step += 1
            usleep(1000)
            // Everyone looks at rank 0's clock and flag, so that all leave in the same step.
            var signs: (UInt8, UInt8) = (InterruptFlag.isRaised ? 1 : 0, ContinuousClock.now > end ? 1 : 0)
            try withUnsafeMutableBytes(of: &signs) { try world.broadcast($0, from: 0) }
            if signs.0 != 0 { throw Interrupted() }
            if signs.1 != 0 { break }
            guard step == 800 else { continue }
            switch (name, world.rank) {
            case ("kill", 1), ("killFirst", 0): kill(getpid(), SIGKILL)
            case ("stop", 1): kill(getpid(), SIGSTOP)
            case ("trap", 1): preconditionFailure("as planned")
            case ("error", 1), ("errors", 1...): throw Broken(description: "the disk is full")
            default: break
            }
        }
        if name == "clean" { usleep(UInt32(world.rank == 0 ? 0 : 300_000 * world.rank)) }
    }

    private func write(_ line: String) {
        FileHandle.standardError.write(Data(line.utf8))
    }
}
