/// Where two arrays first differ, in words; nil if they have the same bits.
///
/// `#expect(a == b)` would print both arrays whole.
public func difference(_ found: [Float], _ expected: [Float]) -> String? {
    guard found.count == expected.count else { return "\(found.count) values, expected \(expected.count)" }
    let places = found.indices.filter { found[$0].bitPattern != expected[$0].bitPattern }
    guard let first = places.first else { return nil }
    return "\(places.count) of \(found.count) differ, first at \(first): \(found[first]), expected \(expected[first])"
}
