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
        card.addresses = (0..<16).compactMap { InterfaceAddress($0 % 2 == 0 ? "10.0.0.\($0)/24" : "fd00::\($0)/64") }
        card.addresses[15].scope = 7
        #expect(card.addresses.count == 16)
        #expect(HostCard(bytes: card.bytes[...]) == card)
        // A card of nonsense must not be read past its end.
        #expect(HostCard(bytes: [UInt8](repeating: 0xFF, count: HostCard.byteCount)[...]).addresses.isEmpty)
    }

    /// Addresses of which `here` shares a subnet with `near`, and not with `far`.
    static let families = [
        (here: "10.0.0.2/8", near: "10.0.0.1/8", far: "11.0.0.1/8", text: "10.0.0.1:80"),
        (here: "10.0.127.2/17", near: "10.0.0.1/17", far: "10.0.128.1/17", text: "10.0.0.1:80"),
        (here: "fd00::2/64", near: "fd00::1/64", far: "fd00:0:0:1::1/64", text: "[fd00::1]:80"),
        (here: "fd00::7f00/113", near: "fd00::1/113", far: "fd00::8000/113", text: "[fd00::1]:80"),
        (here: "fd00::2/64", near: "fd00::1/64", far: "11.0.0.1/8", text: "[fd00::1]:80"),
    ]

    @Test(arguments: families)
    func routesPreferLoopbackThenSharedSubnets(_ row: (here: String, near: String, far: String, text: String)) throws {
        var here = HostCard(interface: nil)
        var hub = here
        let (near, far) = (try #require(InterfaceAddress(row.near)), try #require(InterfaceAddress(row.far)))
        here.addresses = [try #require(InterfaceAddress(row.here))]
        hub.addresses = [far, near]
        #expect(here.routes(to: hub) == InterfaceAddress.loopbacks + [near, far])
        hub.loopbackKey += 1
        #expect(here.routes(to: hub) == [near, far])
        #expect(near.text(port: 80) == row.text)
    }

    @Test func linkLocalAddressesAreTriedOnEachInterface() throws {
        var here = HostCard(interface: nil)
        var hub = here
        hub.loopbackKey += 1
        func linkLocal(_ text: String, scope: UInt32) throws -> InterfaceAddress {
            var address = try #require(InterfaceAddress(text))
            address.scope = scope
            return address
        }
        hub.addresses = [try linkLocal("fe80::1/64", scope: 9)]
        here.addresses = try [4, 5].map { try linkLocal("fe80::2/64", scope: $0) }
        #expect(here.routes(to: hub) == (try [4, 5].map { try linkLocal("fe80::1/64", scope: $0) }))
        here.addresses = [try #require(InterfaceAddress("10.0.0.1/8"))]
        #expect(here.routes(to: hub) == [])
        #expect(try linkLocal("fe80::1/64", scope: 1).text == "fe80::1%lo")
    }

    @Test(arguments: ["10.0.0.1", "10.0.0.1/33", "fd00::1/129", "fd00::1/-1", "eth0", "10.0.0/8", ""])
    func whatIsNoSubnetIsRefused(text: String) {
        #expect(InterfaceAddress(text) == nil)
    }

    @Test func interfacesCanBeChosen() {
        let all = InterfaceAddress.all(on: nil)
        for (family, subnet) in zip(AddressFamily.all, ["0.0.0.0/0", "::/0"]) {
            let unscoped = InterfaceAddress.all(on: subnet).filter { $0.scope == 0 }
            #expect(unscoped == all.filter { $0.family == family && $0.scope == 0 })
        }
        #expect(InterfaceAddress.all(on: "no-such-interface").isEmpty)
        #expect(InterfaceAddress.all(on: "203.0.113.0/24").isEmpty)
        #expect(InterfaceAddress.all(on: "2001:db8::/32").isEmpty)
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

    /// The addresses of loopback that this machine has; some have no IPv6.
    static let loopbacks = InterfaceAddress.loopbacks.filter { (try? HeartbeatSocket.listen(at: [$0])) != nil }

    /// A listener for all networks takes connections of each family.
    @Test(arguments: loopbacks) func everyFamilyIsHeard(address: InterfaceAddress) throws {
        let (listener, port) = try HeartbeatSocket.listen(at: InterfaceAddress.everywhere)
        let socket = try #require(HeartbeatSocket.connect(to: address, port: port, timeout: 1000))
        let accepted = try #require(listener.accept())
        accepted.send(HeartbeatFrame(kind: .goodbye, rank: 3))
        #expect(socket.awaitFrame(timeout: 1000)?.rank == 3)
    }

    @Test func theFirstAddressThatExistsIsListenedAt() throws {
        let other = try #require(InterfaceAddress("203.0.113.1/24"))
        #expect(throws: HeartbeatError.system(operation: "bind", code: EADDRNOTAVAIL)) {
            _ = try HeartbeatSocket.listen(at: [other])
        }
        let (listener, port) = try HeartbeatSocket.listen(at: [other] + InterfaceAddress.loopbacks)
        #expect(HeartbeatSocket.connect(to: InterfaceAddress.loopbacks[0], port: port, timeout: 1000) != nil)
        #expect(listener.accept() != nil)
    }

    /// A hub with one missing rank, to which the test itself connects at this host's address.
    private func withHub(
        at address: InterfaceAddress, timeout: Duration = .seconds(60),
        _ body: (UInt16, HostCard, LossBox) throws -> Void
    ) throws {
        var card = HostCard(interface: nil)
        card.token = Array(1...32)
        let (listener, port) = try HeartbeatSocket.listen(at: [address])
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

    @Test(arguments: loopbacks) func onlyTheTokenOpensTheDoor(address: InterfaceAddress) throws {
        try withHub(at: address) { port, card, losses in
            let token = Array(card.token.prefix(16))
            for wrong in [hello(1, Array(repeating: 0, count: 16)), hello(0, token), hello(3, token), hello(-1, token)]
            {
                let socket = try #require(HeartbeatSocket.connect(to: address, port: port, timeout: 1000))
                socket.send(wrong)
                #expect(socket.awaitFrame(timeout: 1000) == nil)
            }
            let noise = try #require(HeartbeatSocket.connect(to: address, port: port, timeout: 1000))
            let junk = [UInt8](repeating: 0x47, count: 100_000)
            _ = send(noise.descriptor, junk, junk.count, Int32(MSG_NOSIGNAL))

            let good = try #require(HeartbeatSocket.connect(to: address, port: port, timeout: 1000))
            good.send(hello(1, token))
            let answer = good.awaitFrame(timeout: 1000)
            #expect(answer?.kind == .welcome && answer?.token == Array(card.token.suffix(16)))
            let twice = try #require(HeartbeatSocket.connect(to: address, port: port, timeout: 1000))
            twice.send(hello(1, token))
            #expect(twice.awaitFrame(timeout: 1000) == nil)
            #expect(losses.all.isEmpty)
        }
    }

    @Test(arguments: loopbacks) func aClosedConnectionIsALossWithTheLastActivity(address: InterfaceAddress) throws {
        try withHub(at: address) { port, card, losses in
            do {
                let peer = try #require(HeartbeatSocket.connect(to: address, port: port, timeout: 1000))
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

    @Test(arguments: loopbacks) func silenceIsALossAndGoodbyeIsNot(address: InterfaceAddress) throws {
        try withHub(at: address, timeout: .milliseconds(300)) { port, card, losses in
            let token = Array(card.token.prefix(16))
            let polite = try #require(HeartbeatSocket.connect(to: address, port: port, timeout: 1000))
            polite.send(hello(1, token))
            polite.send(HeartbeatFrame(kind: .goodbye, rank: 1))
            let silent = try #require(HeartbeatSocket.connect(to: address, port: port, timeout: 1000))
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
