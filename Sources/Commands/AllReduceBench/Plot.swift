import Foundation

/// A plot of bus bandwidth and of time over size in SVG 1.1; all axes are logarithmic.
///
/// It is drawn without a library, because there is no suitable plotting package for Swift.
struct Plot {
    /// One line of the plot.
    struct Series {
        let name: String
        let points: [(bytes: Double, microseconds: Double, bandwidth: Double)]
    }

    let title: String
    let series: [Series]

    private static let width = 860.0
    private static let panel = (left: 80.0, right: 610.0, height: 260.0)
    /// Okabe and Ito's colors, which most people with color vision deficiency can tell apart.
    private static let colors = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]

    var svg: String {
        let height = max(2 * Self.panel.height + 170, 80 + 18 * Double(series.count))
        var lines = [
            """
            <svg xmlns="http://www.w3.org/2000/svg" width="\(Int(Self.width))" height="\(Int(height))" \
            viewBox="0 0 \(Int(Self.width)) \(Int(height))" font-family="sans-serif" font-size="12">
            """,
            #"<rect width="100%" height="100%" fill="white"/>"#,
            #"<text x="\#(Self.panel.left)" y="28" font-size="15">\#(Self.escaped(title))</text>"#,
        ]
        lines += panel(top: 50, label: "bus bandwidth (GB/s)") { $0.bandwidth }
        lines += panel(top: Self.panel.height + 110, label: "time, median (µs)") { $0.microseconds }
        for (index, line) in series.enumerated() {
            let y = 62 + 18 * Double(index)
            lines.append(
                """
                <line x1="630" x2="650" y1="\(y)" y2="\(y)" stroke="\(color(index))" stroke-width="2"\(dashes(index))/>\
                <text x="656" y="\(y + 4)">\(Self.escaped(line.name))</text>
                """)
        }
        return (lines + ["</svg>", ""]).joined(separator: "\n")
    }

    private func color(_ index: Int) -> String { Self.colors[index % Self.colors.count] }

    /// Gives the style of a line: lines are dashed from where colors repeat.
    private func dashes(_ index: Int) -> String {
        let round = index / Self.colors.count
        return round == 0 ? "" : " stroke-dasharray=\"\(2 + 3 * round) 3\""
    }

    private func panel(
        top: Double, label: String,
        _ value: (_ point: (bytes: Double, microseconds: Double, bandwidth: Double)) -> Double
    ) -> [String] {
        let points = series.map { $0.points.map { ($0.bytes, value($0)) }.filter { $0.0 > 0 && $0.1 > 0 } }
        let all = points.joined()
        guard let first = all.first else { return [] }
        let sizes = all.reduce((first.0, first.0)) { (min($0.0, $1.0), max($0.1, $1.0)) }
        let values = all.reduce((first.1, first.1)) { (min($0.0, $1.1), max($0.1, $1.1)) }
        // The vertical axis covers whole decades, and the horizontal one the sizes from the smallest to the largest.
        // Neither range is empty.
        let x = (low: log2(sizes.0), high: max(log2(sizes.1), log2(sizes.0) + 1))
        let y = (low: floor(log10(values.0)), high: max(ceil(log10(values.1)), floor(log10(values.0)) + 1))
        let (left, right, bottom) = (Self.panel.left, Self.panel.right, top + Self.panel.height)
        func across(_ bytes: Double) -> Double { left + (log2(bytes) - x.low) / (x.high - x.low) * (right - left) }
        func up(_ value: Double) -> Double { bottom - (log10(value) - y.low) / (y.high - y.low) * Self.panel.height }

        var lines: [String] = []
        for decade in Int(y.low)...Int(y.high) {
            let height = up(pow(10, Double(decade)))
            lines.append(
                """
                <line x1="\(left)" x2="\(right)" y1="\(height)" y2="\(height)" stroke="#ddd"/>\
                <text x="\(left - 8)" y="\(height + 4)" text-anchor="end">\(Self.decade(decade))</text>
                """)
        }
        let step = max(2, Int(((x.high - x.low) / 8).rounded(.up)))
        for power in stride(from: Int(x.low.rounded(.up)), through: Int(x.high), by: step) {
            let place = across(pow(2, Double(power)))
            lines.append(
                """
                <line x1="\(place)" x2="\(place)" y1="\(top)" y2="\(bottom)" stroke="#eee"/>\
                <text x="\(place)" y="\(bottom + 16)" text-anchor="middle">\(Self.size(power))</text>
                """)
        }
        lines.append(
            """
            <rect x="\(left)" y="\(top)" width="\(right - left)" height="\(Self.panel.height)" fill="none" stroke="#555"/>\
            <text x="\((left + right) / 2)" y="\(bottom + 36)" text-anchor="middle">size</text>\
            <text transform="translate(20 \((top + bottom) / 2)) rotate(-90)" text-anchor="middle">\(label)</text>
            """)
        for (index, line) in points.enumerated() {
            let path = line.map { String(format: "%.1f,%.1f", across($0.0), up($0.1)) }
            lines.append(
                #"<polyline points="\#(path.joined(separator: " "))" fill="none" stroke="\#(color(index))" stroke-width="2"\#(dashes(index))/>"#
            )
            for point in line {
                lines.append(
                    String(
                        format: #"<circle cx="%.1f" cy="%.1f" r="2.5" fill="\#(color(index))"/>"#, across(point.0),
                        up(point.1))
                )
            }
        }
        return lines
    }

    private static func decade(_ power: Int) -> String {
        power >= 0 && power < 6 ? String(Int(pow(10, Double(power)))) : String(format: "%g", pow(10, Double(power)))
    }

    private static func size(_ power: Int) -> String {
        let units = ["B", "KiB", "MiB", "GiB", "TiB"]
        let unit = min(max(0, power / 10), units.count - 1)
        return "\(1 << max(0, power - 10 * unit)) \(units[unit])"
    }

    private static func escaped(_ text: String) -> String {
        text.replacingOccurrences(of: "&", with: "&amp;").replacingOccurrences(of: "<", with: "&lt;")
    }
}
