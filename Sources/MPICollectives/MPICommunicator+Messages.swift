import Collectives

extension MPICommunicator {
    public func allGather(
        _ mine: UnsafeRawBufferPointer, into all: UnsafeMutableRawBufferPointer
    ) throws(CommunicationError) {
        try requireBytes(all.count, mine.count * size, .allGather)
        begin(.allGather)
        try forEachPiece(of: mine.count) { piece throws(CommunicationError) in
            for step in 1..<max(size, 1) {
                try post(UnsafeRawBufferPointer(rebasing: mine[piece]), to: (rank + step) % size)
            }
            for step in 1..<max(size, 1) {
                let other = (rank + size - step) % size
                try fetch(into: part(of: all, from: other * mine.count, piece), from: other)
            }
            try finishSends()
        }
        part(of: all, from: rank * mine.count, 0..<mine.count).copyMemory(from: mine)
        clock.finish(byteCount: mine.count)
    }

    public func allToAll(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) throws(CommunicationError) {
        try requireShares(input: input.count, output: output.count)
        begin(.allToAll)
        let share = input.count / size
        try forEachPiece(of: share) { piece throws(CommunicationError) in
            for step in 1..<max(size, 1) {
                let other = (rank + step) % size
                let start = other * share
                try post(
                    UnsafeRawBufferPointer(
                        rebasing: input[start + piece.lowerBound..<start + piece.upperBound]), to: other)
            }
            for step in 1..<max(size, 1) {
                let other = (rank + size - step) % size
                try fetch(into: part(of: output, from: other * share, piece), from: other)
            }
            try finishSends()
        }
        part(of: output, from: rank * share, 0..<share).copyMemory(
            from: UnsafeRawBufferPointer(rebasing: input[rank * share..<(rank + 1) * share]))
        clock.finish(byteCount: input.count)
    }

    public func gather(
        _ mine: UnsafeRawBufferPointer, byteCounts: [Int], into all: UnsafeMutableRawBufferPointer, to root: Int
    ) throws(CommunicationError) {
        try requireGather(mine: mine.count, byteCounts: byteCounts, all: all.count, root: root)
        begin(.gather)
        if rank == root {
            var offset = 0
            for other in 0..<size {
                if other == rank {
                    part(of: all, from: offset, 0..<mine.count).copyMemory(from: mine)
                } else if byteCounts[other] > 0 {
                    try forEachPiece(of: byteCounts[other]) { piece throws(CommunicationError) in
                        try fetch(into: part(of: all, from: offset, piece), from: other)
                    }
                }
                offset += byteCounts[other]
            }
        } else if !mine.isEmpty {
            try sendPieces(mine, to: root)
        }
        clock.finish(byteCount: mine.count)
    }

    /// Sends along a binomial tree of messages.
    ///
    /// Each rank receives once, and then sends to half as many ranks as its parent still had to serve.
    public func broadcast(_ bytes: UnsafeMutableRawBufferPointer, from root: Int) throws(CommunicationError) {
        try requireMember(root, .broadcast)
        begin(.broadcast)
        try forEachPiece(of: bytes.count) { piece throws(CommunicationError) in
            let piece = UnsafeMutableRawBufferPointer(rebasing: bytes[piece])
            let place = (rank + size - root) % size
            var reach = 1
            while reach < size, place & reach == 0 { reach *= 2 }
            if place != 0 {
                let parent = (place - reach + root) % size
                try fetch(into: piece, from: parent)
            }
            reach /= 2
            while reach > 0 {
                if place + reach < size {
                    let child = (place + reach + root) % size
                    let message = UnsafeRawBufferPointer(piece)
                    if reach > 1 {
                        try post(message, to: child)
                    } else {
                        try sendNow(message, to: child)
                    }
                }
                reach /= 2
            }
            try finishSends()
        }
        clock.finish(byteCount: bytes.count)
    }

    public func send(_ bytes: UnsafeRawBufferPointer, to rank: Int, tag: MessageTag) throws(CommunicationError) {
        try requirePartner(rank, .send)
        try requireAllowed(tag)
        begin(.send, tag: tag)
        try sendPieces(bytes, to: rank)
        clock.finish(byteCount: bytes.count)
    }

    public func receive(
        into bytes: UnsafeMutableRawBufferPointer, from rank: Int, tag: MessageTag
    ) throws(CommunicationError) {
        try requirePartner(rank, .receive)
        try requireAllowed(tag)
        begin(.receive, tag: tag)
        try forEachPiece(of: bytes.count) { piece throws(CommunicationError) in
            try fetch(into: UnsafeMutableRawBufferPointer(rebasing: bytes[piece]), from: rank)
        }
        clock.finish(byteCount: bytes.count)
    }

    /// Waits for all ranks by dissemination.
    ///
    /// After the step in which each rank notifies the rank at distance d, every rank knows that 2d ranks have come.
    public func barrier() throws(CommunicationError) {
        begin(.barrier)
        let nothing = UnsafeMutableRawBufferPointer(start: nil, count: 0)
        var distance = 1
        while distance < size {
            try sendNow(UnsafeRawBufferPointer(nothing), to: (rank + distance) % size)
            try fetch(into: nothing, from: (rank + size - distance) % size)
            distance *= 2
        }
        clock.finish(byteCount: 0)
    }

    private func sendPieces(_ bytes: UnsafeRawBufferPointer, to rank: Int) throws(CommunicationError) {
        try forEachPiece(of: bytes.count) { piece throws(CommunicationError) in
            try sendNow(UnsafeRawBufferPointer(rebasing: bytes[piece]), to: rank)
        }
    }

    private func part(
        of all: UnsafeMutableRawBufferPointer, from offset: Int, _ piece: Range<Int>
    ) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(rebasing: all[offset + piece.lowerBound..<offset + piece.upperBound])
    }
}
