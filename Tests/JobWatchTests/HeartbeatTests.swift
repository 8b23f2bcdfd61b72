import Collectives
import Glibc
import Synchronization
import Testing

@testable import JobWatch

/// The heartbeat without MPI: its messages, and a hub that good and hostile peers connect to.
@Suite struct HeartbeatTests {
    @Test func framesSurviveTheWire() {
        for kind in HeartbeatFrame.Kind.allCases {
            var frame = HeartbeatFrame(kind: kind, rank: 70_000)
            if kind == .hello || kind == .welcome {
                frame.token = Array(1...16)
            } else {
                (frame.phase, frame.cause, frame.step, frame.milliseconds) = (.decode, 1, 1 << 50, 12345)
            }
            #expect(frame.bytes.count == HeartbeatFrame.byteCount)
            #expect(HeartbeatFrame(bytes: frame.bytes) == frame)
        }
        #expect(HeartbeatFrame(bytes: [UInt8](repeating: 0, count: 32)) == nil)
        #expect(HeartbeatFrame(bytes: [UInt8](repeating: 255, count: 32)) == nil)
        #expect(HeartbeatFrame(bytes: [1]) == nil)
    }

    @Test func cardsSurviveTheWire() {
        var card = HostCard(interface: nil)
        card.port = 54321
        card.token = Array(1...32)
        card.addresses = (0..<16).map { InterfaceAddress(address: $0, mask: 0xFF) }
        #expect(HostCard(bytes: card.bytes[...]) == card)
        // A card of nonsense must not be read past its end.
        #expect(HostCard(bytes: [UInt8](repeating: 0xFF, count: HostCard.byteCount)[...]).addresses.count == 16)
    }

    @Test func routesPreferLoopbackThenSharedSubnets() {
        var here = HostCard(interface: nil)
        var hub = here
        let mask = InterfaceAddress.loopback.mask  // 255.0.0.0
        let far = InterfaceAddress(address: UInt32(0x0B00_0001).bigEndian, mask: mask)
        let near = InterfaceAddress(address: UInt32(0x0A00_0001).bigEndian, mask: mask)
        here.addresses = [InterfaceAddress(address: UInt32(0x0A00_0002).bigEndian, mask: mask)]
        hub.addresses = [far, near]
        #expect(here.routes(to: hub) == [.loopback, near, far])
        hub.loopbackKey += 1
        #expect(here.routes(to: hub) == [near, far])
        #expect(near.text == "10.0.0.1")
    }

    @Test func interfacesCanBeChosen() {
        let all = InterfaceAddress.all(on: nil)
        #expect(InterfaceAddress.all(on: "0.0.0.0/0") == all)
        #expect(InterfaceAddress.all(on: "no-such-interface").isEmpty)
        #expect(InterfaceAddress.all(on: "203.0.113.0/24").isEmpty)
        #expect(InterfaceAddress.all(on: "10.0.0.0/99").isEmpty)
    }

    @Test func ranksJoinAndLeaveInAnyOrder() throws {
        for count in 1...4 {
            let losses = Mutex<[LostRank]>([])
            _ = try withRanks(count) { group in
                try withHeartbeat(over: group, onLoss: { loss in losses.withLock { $0.append(loss) } }) { heartbeat in
                    heartbeat.activity.enter(.decode, step: 5)
                    #expect(heartbeat.activity.current.phase == .decode && heartbeat.activity.current.step == 5)
                    usleep(UInt32(20_000 * (group.rank ^ 2)))
                }
            }
            #expect(losses.withLock(\.self).isEmpty)
        }
    }

    @Test func aFailingRankIsNoLoss() throws {
        struct Broken: Error {}
        let losses = Mutex<[LostRank]>([])
        #expect(throws: Broken.self) {
            _ = try withRanks(3) { group in
                try withHeartbeat(over: group, onLoss: { loss in losses.withLock { $0.append(loss) } }) { _ in
                    if group.rank == 2 { throw Broken() }
                    usleep(100_000)
                }
            }
        }
        #expect(losses.withLock(\.self).isEmpty)
    }

    /// A hub with one missing rank, to which the test itself connects.
    private func withHub(
        timeout: Duration = .seconds(60), _ body: (UInt16, HostCard, LossBox) throws -> Void
    ) throws {
        var card = HostCard(interface: nil)
        card.token = Array(1...32)
        let (listener, port) = try HeartbeatSocket.listen(loopbackOnly: true)
        let losses = LossBox()
        let options = HeartbeatOptions(timeout: timeout, interval: .milliseconds(50))
        let watch = try HeartbeatWatch(
            rank: 0, cards: [card, card, card], listener: listener, hub: nil, options: options
        ) {
            losses.append($0)
        }
        let thread = try startThread(rank: 0) { watch.run() }
        defer {
            watch.stop()
            pthread_join(thread, nil)
        }
        try body(port, card, losses)
    }

    private func hello(_ rank: Int, _ token: [UInt8]) -> HeartbeatFrame {
        var frame = HeartbeatFrame(kind: .hello, rank: rank)
        frame.token = token
        return frame
    }

    @Test func onlyTheTokenOpensTheDoor() throws {
        try withHub { port, card, losses in
            let token = Array(card.token.prefix(16))
            for wrong in [hello(1, Array(repeating: 0, count: 16)), hello(0, token), hello(3, token), hello(-1, token)]
            {
                let socket = try #require(HeartbeatSocket.connect(to: .loopback, port: port, timeout: 1000))
                socket.send(wrong)
                #expect(socket.awaitFrame(timeout: 1000) == nil)
            }
            let noise = try #require(HeartbeatSocket.connect(to: .loopback, port: port, timeout: 1000))
            let junk = [UInt8](repeating: 0x47, count: 100_000)
            _ = send(noise.descriptor, junk, junk.count, Int32(MSG_NOSIGNAL))

            let good = try #require(HeartbeatSocket.connect(to: .loopback, port: port, timeout: 1000))
            good.send(hello(1, token))
            let answer = good.awaitFrame(timeout: 1000)
            #expect(answer?.kind == .welcome && answer?.token == Array(card.token.suffix(16)))
            let twice = try #require(HeartbeatSocket.connect(to: .loopback, port: port, timeout: 1000))
            twice.send(hello(1, token))
            #expect(twice.awaitFrame(timeout: 1000) == nil)
            #expect(losses.all.isEmpty)
        }
    }

    @Test func aClosedConnectionIsALossWithTheLastActivity() throws {
        try withHub { port, card, losses in
            do {
                let peer = try #require(HeartbeatSocket.connect(to: .loopback, port: port, timeout: 1000))
                peer.send(hello(2, Array(card.token.prefix(16))))
                #expect(peer.awaitFrame(timeout: 1000)?.kind == .welcome)
                var beat = HeartbeatFrame(kind: .beat, rank: 2)
                (beat.phase, beat.step) = (.decode, 17)
                peer.send(beat)
            }
            losses.wait(milliseconds: 2000)
            let loss = losses.all.first
            #expect(loss?.rank == 2 && loss?.isReportedHere == true && loss?.cause == .connectionClosed)
            #expect(
                loss?.description
                    == "rank 2 on \(hostName()) was lost while decoding step 17 (connection closed); ending the job")
        }
    }

    @Test func silenceIsALossAndGoodbyeIsNot() throws {
        try withHub(timeout: .milliseconds(300)) { port, card, losses in
            let token = Array(card.token.prefix(16))
            let polite = try #require(HeartbeatSocket.connect(to: .loopback, port: port, timeout: 1000))
            polite.send(hello(1, token))
            polite.send(HeartbeatFrame(kind: .goodbye, rank: 1))
            let silent = try #require(HeartbeatSocket.connect(to: .loopback, port: port, timeout: 1000))
            silent.send(hello(2, token))
            losses.wait(milliseconds: 3000)
            #expect(losses.all.map(\.rank) == [2])
            guard case .silence(let time)? = losses.all.first?.cause else {
                Issue.record("not a silence")
                return
            }
            #expect(time > .milliseconds(300))
        }
    }
}

/// Losses that a heartbeat's thread has reported.
private final class LossBox: Sendable {
    private let losses = Mutex<[LostRank]>([])

    var all: [LostRank] { losses.withLock(\.self) }

    func append(_ loss: LostRank) {
        losses.withLock { $0.append(loss) }
    }

    func wait(milliseconds: Int) {
        for _ in 0..<milliseconds where all.isEmpty { usleep(1000) }
    }
}
