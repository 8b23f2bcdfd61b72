// What comes from a file, the network or the command line, made fit to stand in a message of one line.
//
// Such text is hostile: it may hold line breaks, commands to the terminal, characters that turn the rest of the line
// around, or megabytes.

/// How many characters of a name a message shows.
private let nameLimit = 80
/// How many characters of a path, or of a longer text, a message shows.
private let textLimit = 400

/// A name from a file as a message shows it: in quotes, escaped, and cut after 80 characters with its length behind.
public func quoted(_ text: some StringProtocol) -> String {
    quoted(Array(text.utf8))
}

/// The same for bytes that may not be UTF-8: those that are not are shown as `\xFF`.
public func quoted(_ bytes: some Collection<UInt8>) -> String {
    let bytes = Array(bytes)
    var parser = Unicode.UTF8.ForwardParser()
    var iterator = bytes.makeIterator()
    var shown = "\""
    var (count, position) = (0, 0)
    parsing: while true {
        let isShown = count < nameLimit
        switch parser.parseScalar(from: &iterator) {
        case .emptyInput: break parsing
        case .valid(let encoded):
            if isShown { append(Unicode.UTF8.decode(encoded), to: &shown, isQuoted: true) }
            position += encoded.count
        case .error(let length):
            let damaged = bytes[position..<position + length]
            if isShown { shown += damaged.map { "\\x" + hexadecimal(UInt32($0)) }.joined() }
            position += length
        }
        count += 1
    }
    return count > nameLimit ? "\(shown)…\" (\(count) characters)" : shown + "\""
}

/// A path, or another text that stands in a message without quotes: escaped, and with its middle left out if it is long.
public func escaped(_ text: some StringProtocol) -> String {
    let scalars = text.unicodeScalars
    let count = scalars.count
    var shown = ""
    guard count > textLimit else {
        for scalar in scalars { append(scalar, to: &shown, isQuoted: false) }
        return shown
    }
    for scalar in scalars.prefix(textLimit / 2) { append(scalar, to: &shown, isQuoted: false) }
    shown += "…(\(count) characters)…"
    for scalar in scalars.suffix(textLimit / 2) { append(scalar, to: &shown, isQuoted: false) }
    return shown
}

/// A whole message without anything that breaks its line or commands a terminal: the last defence where it is written.
///
/// Unlike `escaped` it leaves nothing out.
public func onOneLine(_ message: String) -> String {
    guard !message.unicodeScalars.allSatisfy(isHarmless) else { return message }
    var shown = ""
    for scalar in message.unicodeScalars { append(scalar, to: &shown, isQuoted: false) }
    return shown
}

/// Whole numbers from a file, such as a shape: the first eight, and how many there are if they are more.
public func listed(_ numbers: [Int]) -> String {
    let limit = 8
    guard numbers.count > limit else { return "\(numbers)" }
    return "[\(numbers.prefix(limit).map(String.init).joined(separator: ", ")), … (\(numbers.count) numbers)]"
}

/// Names from files: the first five in quotes, and how many more there are.
public func listed(names: [String]) -> String {
    let limit = 5
    let shown = names.prefix(limit).map { quoted($0) }.joined(separator: ", ")
    return names.count > limit ? "\(shown) and \(names.count - limit) more" : shown
}

private func append(_ scalar: Unicode.Scalar, to text: inout String, isQuoted: Bool) {
    switch scalar {
    case "\n": text += "\\n"
    case "\r": text += "\\r"
    case "\t": text += "\\t"
    case "\"", "\\":
        if isQuoted { text += "\\" }
        text.unicodeScalars.append(scalar)
    case _ where isHarmless(scalar): text.unicodeScalars.append(scalar)
    default: text += "\\u{\(hexadecimal(scalar.value))}"
    }
}

/// Whether a character shows as itself and changes nothing around it.
private func isHarmless(_ scalar: Unicode.Scalar) -> Bool {
    if scalar.isASCII { return (0x20..<0x7F).contains(scalar.value) }
    switch scalar.properties.generalCategory {
    // Format characters turn the direction of the text around them, or join and hide others.
    case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned: return false
    default: return true
    }
}

private func hexadecimal(_ value: UInt32) -> String {
    let digits = String(value, radix: 16, uppercase: true)
    return digits.count < 2 ? "0" + digits : digits
}
