// Makes text from a file, the network or the command line safe to show in a one-line message.
//
// Such text is untrusted: it may contain line breaks, terminal commands, characters that reverse the rest of the line,
// or megabytes of text.

/// The number of characters of a name that a message shows.
private let nameLimit = 80
/// The number of characters of a path, or of a longer text, that a message shows.
private let textLimit = 400

/// A name from a file in quotes, escaped, and cut after 80 characters, with its length appended if it is cut.
public func quoted(_ text: some StringProtocol) -> String {
    quoted(Array(text.utf8))
}

/// Bytes from a file in quotes, like a name; bytes that are not UTF-8 are shown as `\xFF`.
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

/// A path, or another text without quotes, escaped, and with its middle left out if it is long.
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

/// A whole message in which everything that breaks the line or controls a terminal is escaped.
///
/// It is the last defence where a message is written. Unlike `escaped` it leaves nothing out.
public func onOneLine(_ message: String) -> String {
    guard !message.unicodeScalars.allSatisfy(isHarmless) else { return message }
    var shown = ""
    for scalar in message.unicodeScalars { append(scalar, to: &shown, isQuoted: false) }
    return shown
}

/// Whole numbers from a file, such as a shape: the first eight, and the count if there are more.
public func listed(_ numbers: [Int]) -> String {
    let limit = 8
    guard numbers.count > limit else { return "\(numbers)" }
    return "[\(numbers.prefix(limit).map(String.init).joined(separator: ", ")), … (\(numbers.count) numbers)]"
}

/// Names from files: the first five in quotes, and the number of further ones.
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

/// Whether a character is shown as itself and does not affect the text around it.
private func isHarmless(_ scalar: Unicode.Scalar) -> Bool {
    if scalar.isASCII { return (0x20..<0x7F).contains(scalar.value) }
    switch scalar.properties.generalCategory {
    // Format characters reverse the direction of the surrounding text, or join and hide other characters.
    case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned: return false
    default: return true
    }
}

private func hexadecimal(_ value: UInt32) -> String {
    let digits = String(value, radix: 16, uppercase: true)
    return digits.count < 2 ? "0" + digits : digits
}
