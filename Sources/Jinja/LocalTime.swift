import Glibc

/// A date and a time of day in the local time zone: what `strftime_now` of a template tells.
public struct LocalTime: Equatable, Sendable {
    public var year: Int
    /// From 1 to 12.
    public var month: Int
    /// From 1 to 31.
    public var day: Int
    public var hour: Int
    public var minute: Int
    public var second: Int
    public var microsecond: Int

    public init(
        year: Int, month: Int, day: Int, hour: Int = 0, minute: Int = 0, second: Int = 0, microsecond: Int = 0
    ) {
        self.year = year
        self.month = month
        self.day = day
        self.hour = hour
        self.minute = minute
        self.second = second
        self.microsecond = microsecond
    }

    /// The time now, by the system's clock and time zone.
    public static func now() -> LocalTime {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        var parts = tm()
        localtime_r(&time.tv_sec, &parts)
        return LocalTime(
            year: Int(parts.tm_year) + 1900, month: Int(parts.tm_mon) + 1, day: Int(parts.tm_mday),
            hour: Int(parts.tm_hour), minute: Int(parts.tm_min), second: Int(parts.tm_sec),
            microsecond: time.tv_nsec / 1000)
    }

    /// The text that Python's `datetime.strftime` gives, with English names.
    func formatted(_ format: String) -> String {
        let prepared = prepared(format)
        guard !prepared.isEmpty else { return "" }
        var parts = components
        let locale = newlocale(1 << LC_TIME, "C", nil)
        defer { freelocale(locale) }
        // As in Python, a text that needs far more room than its format is given up.
        var size = 1024
        while true {
            var buffer = [CChar](repeating: 0, count: size)
            let length = strftime_l(&buffer, size, prepared, &parts, locale)
            if length > 0 || size >= 256 * prepared.utf8.count {
                return String(decoding: buffer.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self)
            }
            size *= 2
        }
    }

    /// The format with what the C library does not know: fractions of a second, and no time zone.
    private func prepared(_ format: String) -> String {
        var result = ""
        var isDirective = false
        for character in format.unicodeScalars {
            guard isDirective else {
                isDirective = character == "%"
                if !isDirective { result.unicodeScalars.append(character) }
                continue
            }
            isDirective = false
            switch character {
            case "f":
                let digits = String(microsecond)
                result += String(repeating: "0", count: max(0, 6 - digits.count)) + digits
            case "z", "Z": break
            default: result += "%" + String(character)
            }
        }
        return isDirective ? result + "%" : result
    }

    private var components: tm {
        var parts = tm()
        parts.tm_year = Int32(clamping: year - 1900)
        parts.tm_mon = Int32(clamping: month - 1)
        parts.tm_mday = Int32(clamping: day)
        parts.tm_hour = Int32(clamping: hour)
        parts.tm_min = Int32(clamping: minute)
        parts.tm_sec = Int32(clamping: second)
        parts.tm_isdst = -1
        // The C library works out the day of the week and of the year.
        var copy = parts
        _ = timegm(&copy)
        parts.tm_wday = copy.tm_wday
        parts.tm_yday = copy.tm_yday
        return parts
    }
}
