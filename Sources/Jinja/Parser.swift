/// Reads a template's tokens into statements.
///
/// `ExpressionParser.swift` reads its expressions.
struct Parser {
    private let tokens: [Token]
    private var index = 0
    private var depth = 0
    /// Whether an unknown filter or test is an error only when it runs, as it is directly inside a branch.
    var isInBranch = false
    /// The loops around a statement in its function, which `break` and `continue` can end.
    private var loopDepth = 0
    /// The loops around a statement, also outside its function.
    private var enclosingLoops = 0
    /// The tags that can end the blocks around a statement, innermost last.
    private var endTags: [[Text]] = []
    /// The names that the body of a macro reads.
    private var usedNames: Set<Text> = []
    /// The first unknown filter or test outside a branch.
    var unknownRoutine: TemplateError?

    private init(_ tokens: [Token]) {
        self.tokens = tokens
    }

    static func statements(of source: String) throws(TemplateError) -> [Statement] {
        var parser = Parser(try Lexer.tokens(of: source))
        let statements = try parser.statements(until: [])
        if let error = parser.unknownRoutine { throw error }
        return statements
    }

    // MARK: Tokens

    var current: Token { tokens[index] }
    var next: Token { tokens[min(index + 1, tokens.count - 1)] }
    var position: Position { current.position }

    /// Takes the current token; the end stays.
    @discardableResult
    mutating func take() -> Token {
        defer { index = min(index + 1, tokens.count - 1) }
        return current
    }

    func isAt(_ symbol: Symbol) -> Bool { current.kind == .symbol(symbol) }
    func isAt(_ name: Text) -> Bool { current.kind == .name(name) }

    mutating func skip(_ symbol: Symbol) -> Bool {
        guard isAt(symbol) else { return false }
        take()
        return true
    }

    mutating func skip(_ name: Text) -> Bool {
        guard isAt(name) else { return false }
        take()
        return true
    }

    mutating func expect(_ symbol: Symbol) throws(TemplateError) {
        if !skip(symbol) { throw unexpected(instead: symbol.rawValue) }
    }

    mutating func expectName() throws(TemplateError) -> Text {
        guard case .name(let name) = current.kind else { throw unexpected(instead: "name") }
        take()
        return name
    }

    private mutating func expect(_ kind: Token.Kind) throws(TemplateError) {
        guard current.kind == kind else {
            throw unexpected(instead: Token(kind: kind, position: position).description)
        }
        take()
    }

    func unexpected(instead expected: String) -> TemplateError {
        current.kind == .end
            ? position.error(.syntax, "unexpected end of template, expected '\(expected)'.")
            : position.error(.syntax, "expected token '\(expected)', got '\(current.description)'")
    }

    /// Reads something that may hold itself, to a bounded depth.
    mutating func nested<Result>(
        _ read: (inout Parser) throws(TemplateError) -> Result
    ) throws(TemplateError) -> Result {
        guard depth < FixedLimits.nesting else {
            throw position.error(.limit, "statements and expressions are nested more than \(depth) times")
        }
        depth += 1
        defer { depth -= 1 }
        return try read(&self)
    }

    mutating func variable(_ name: Text, _ position: Position) -> Variable {
        usedNames.insert(name)
        return Variable(name, position)
    }

    // MARK: Blocks

    /// Reads statements up to one of those tags, which stays; up to the end of the template if there are none.
    private mutating func statements(until tags: [Text]) throws(TemplateError) -> [Statement] {
        if !tags.isEmpty { endTags.append(tags) }
        defer { if !tags.isEmpty { endTags.removeLast() } }
        var statements: [Statement] = []
        while true {
            let token = take()
            switch token.kind {
            case .data(let text): statements.append(.text(text, token.position))
            case .variableBegin:
                statements.append(.output(try tuple(), token.position))
                try expect(.variableEnd)
            case .blockBegin:
                if case .name(let name) = current.kind, tags.contains(name) { return statements }
                try nested { (parser) throws(TemplateError) in statements += try parser.statement() }
                try expect(.blockEnd)
            case .end:
                guard tags.isEmpty else { throw lookingFor("Unexpected end of template.") }
                return statements
            case .variableEnd, .blockEnd, .name, .string, .integer, .largeInteger, .float, .symbol:
                throw unexpected(instead: "begin of statement block")
            }
        }
    }

    /// Reads the rest of a tag, statements, and the tag that ends them, whose name it gives.
    private mutating func body(until tags: [Text]) throws(TemplateError) -> (statements: [Statement], end: Text) {
        _ = skip(.colon)
        try expect(.blockEnd)
        let statements = try statements(until: tags)
        return (statements, try expectName())
    }

    /// Reads the body of a block with variables of its own.
    private mutating func block(until tags: [Text]) throws(TemplateError) -> (block: Block, end: Text) {
        let (statements, end) = try outsideBranch { (parser) throws(TemplateError) in try parser.body(until: tags) }
        return (Block(statements: statements), end)
    }

    private func lookingFor(_ problem: String) -> TemplateError {
        guard let tags = endTags.last else { return position.error(.syntax, problem) }
        let names = tags.map { "'\($0.string)'" }.joined(separator: " or ")
        return position.error(.syntax, "\(problem) Jinja was looking for the following tags: \(names).")
    }

    // MARK: Statements

    private typealias Parameter = (variable: Variable, defaultValue: Expression?)
    private typealias Reader = @Sendable (inout Parser) throws(TemplateError) -> [Statement]

    private static let readers: [Text: Reader] = [
        "for": { (parser) throws(TemplateError) in [try parser.loop()] },
        "if": { (parser) throws(TemplateError) in [try parser.branches()] },
        "set": { (parser) throws(TemplateError) in [try parser.assignment()] },
        "with": { (parser) throws(TemplateError) in [try parser.with()] },
        "macro": { (parser) throws(TemplateError) in [try parser.macro()] },
        "call": { (parser) throws(TemplateError) in [try parser.callBlock()] },
        "filter": { (parser) throws(TemplateError) in [try parser.filterBlock()] },
        "generation": { (parser) throws(TemplateError) in [try parser.generation()] },
        "print": { (parser) throws(TemplateError) in try parser.printed() },
        "break": { (parser) throws(TemplateError) in [try parser.loopEnd(.breakLoop)] },
        "continue": { (parser) throws(TemplateError) in [try parser.loopEnd(.continueLoop)] },
    ]

    /// Tags of Jinja that need other templates, or that no chat template has a use for.
    private static let unsupportedTags: Set<Text> = ["autoescape", "block", "extends", "from", "import", "include"]

    private mutating func statement() throws(TemplateError) -> [Statement] {
        guard case .name(let name) = current.kind else { throw position.error(.syntax, "tag name expected") }
        if let reader = Self.readers[name] {
            return try reader(&self)
        }
        guard !Self.unsupportedTags.contains(name) else {
            throw position.error(.unsupported, "the tag '\(name.string)' is not supported")
        }
        throw lookingFor("Encountered unknown tag '\(name.string)'.")
    }

    private mutating func loopEnd(_ statement: Statement) throws(TemplateError) -> Statement {
        let tag = take()
        guard loopDepth > 0 else { throw tag.position.error(.syntax, "'\(tag.description)' outside loop") }
        return statement
    }

    private mutating func printed() throws(TemplateError) -> [Statement] {
        take()
        var statements: [Statement] = []
        while current.kind != .blockEnd {
            if !statements.isEmpty { try expect(.comma) }
            let start = position
            statements.append(.output(try expression(), start))
        }
        return statements
    }

    private mutating func branches() throws(TemplateError) -> Statement {
        let wasInBranch = isInBranch
        isInBranch = true
        defer { isInBranch = wasInBranch }
        var branches: [(test: Expression, body: [Statement])] = []
        take()
        while true {
            let test = try tuple(withConditional: false)
            let (body, end) = try body(until: ["elif", "else", "endif"])
            branches.append((test, body))
            switch end {
            case "elif": break
            case "else": return .branches(branches, otherwise: try self.body(until: ["endif"]).statements)
            default: return .branches(branches, otherwise: [])
            }
        }
    }

    private mutating func loop() throws(TemplateError) -> Statement {
        let start = take().position
        enclosingLoops += 1
        let targetIndex = index
        let target = try target()
        enclosingLoops -= 1
        guard skip("in") else { throw unexpected(instead: "in") }
        let values = try tuple(withConditional: false)
        enclosingLoops += 1
        defer { enclosingLoops -= 1 }
        var filter: (target: Target, test: Expression, scope: Scope)?
        if skip("if") {
            // The test has variables of its own, so the target is read once more.
            let testIndex = index
            index = targetIndex
            let testTarget = try self.target()
            index = testIndex
            filter = try outsideBranch { (parser) throws(TemplateError) in
                (testTarget, try parser.expression(), Scope())
            }
        }
        let isRecursive = skip("recursive")
        loopDepth += 1
        var (body, end) = try block(until: ["endfor", "else"])
        loopDepth -= 1
        var otherwise: Block?
        if end == "else" { (otherwise, end) = try block(until: ["endfor"]) }
        return .loop(
            Loop(
                target: target, values: values, filter: filter, body: body, otherwise: otherwise, position: start,
                function: isRecursive ? Function() : nil))
    }

    private mutating func outsideBranch<Result>(
        _ read: (inout Parser) throws(TemplateError) -> Result
    ) throws(TemplateError) -> Result {
        let wasInBranch = isInBranch
        isInBranch = false
        defer { isInBranch = wasInBranch }
        return try read(&self)
    }

    private mutating func assignment() throws(TemplateError) -> Statement {
        let start = take().position
        let target = try target(mayBeAttribute: true)
        if skip(.assign) { return .assign(target, try tuple(), start) }
        let filters = try outsideBranch { (parser) throws(TemplateError) in try parser.filters() }
        return .capture(target, filters: filters, try block(until: ["endset"]).block, start)
    }

    private mutating func with() throws(TemplateError) -> Statement {
        take()
        var bindings: [(target: Target, value: Expression)] = []
        while current.kind != .blockEnd {
            if !bindings.isEmpty { try expect(.comma) }
            let target = try target()
            try expect(.assign)
            bindings.append((target, try expression()))
        }
        return .with(bindings, try block(until: ["endwith"]).block)
    }

    private mutating func filterBlock() throws(TemplateError) -> Statement {
        take()
        let filters = try outsideBranch { (parser) throws(TemplateError) in
            [try parser.filter()] + (try parser.filters())
        }
        return .filtered(filters, try block(until: ["endfilter"]).block)
    }

    private mutating func macro() throws(TemplateError) -> Statement {
        take()
        let start = position
        let name = try expectName()
        let parameters = try parameters()
        return .macro(Variable(name, start), try function(name, parameters, endTag: "endmacro"))
    }

    private mutating func callBlock() throws(TemplateError) -> Statement {
        let start = take().position
        let parameters = isAt(.leftParenthesis) ? try parameters() : []
        guard case .postfix(let value, var operations) = try expression(),
            case .call(let arguments) = operations.last?.operation
        else { throw start.error(.syntax, "expected call") }
        let position = operations.removeLast().position
        let callee = operations.isEmpty ? value : .postfix(value, operations)
        return .callBlock(callee: callee, arguments, try function(nil, parameters, endTag: "endcall"), position)
    }

    private mutating func generation() throws(TemplateError) -> Statement {
        take()
        return .generation(try function(nil, [], endTag: "endgeneration"))
    }

    private mutating func parameters() throws(TemplateError) -> [Parameter] {
        try expect(.leftParenthesis)
        var parameters: [Parameter] = []
        while !isAt(.rightParenthesis) {
            if !parameters.isEmpty { try expect(.comma) }
            let start = position
            let name = try expectName()
            let value =
                skip(.assign) ? try outsideBranch { (parser) throws(TemplateError) in try parser.expression() } : nil
            guard value != nil || parameters.last?.defaultValue == nil else {
                throw position.error(.syntax, "non-default argument follows default argument")
            }
            guard !parameters.contains(where: { $0.variable.name == name }) else {
                throw start.error(.syntax, "duplicate argument '\(name.string)' in function definition")
            }
            parameters.append((Variable(name, start), value))
        }
        take()
        return parameters
    }

    /// Reads the body of a macro, of a call or of a generation.
    private mutating func function(
        _ name: Text?, _ parameters: [Parameter], endTag: Text
    ) throws(TemplateError) -> Macro {
        let start = position
        let (outerNames, outerLoopDepth) = (usedNames, loopDepth)
        usedNames = []
        loopDepth = 0
        let body = try block(until: [endTag]).block
        let special = ["caller", "kwargs", "varargs"].map { (name: Text) in
            usedNames.contains(name) && !parameters.contains { $0.variable.name == name } ? Variable(name, start) : nil
        }
        if usedNames.contains("caller"),
            let parameter = parameters.first(where: { $0.variable.name == "caller" }), parameter.defaultValue == nil
        {
            throw start.error(
                .syntax,
                "When defining macros or call blocks the special \"caller\" argument must be omitted or be given a "
                    + "default.")
        }
        usedNames.formUnion(outerNames)
        loopDepth = outerLoopDepth
        return Macro(
            name: name, parameters: parameters, body: body, caller: special[0], keywords: special[1],
            rest: special[2])
    }

    // MARK: Targets

    /// Reads what is assigned to: names with commas between them, or attributes of namespaces.
    private mutating func target(mayBeAttribute: Bool = false) throws(TemplateError) -> Target {
        let start = position
        var targets: [Target] = []
        while true {
            targets.append(try singleTarget(mayBeAttribute: mayBeAttribute))
            guard skip(.comma) else { break }
            if isAtTupleEnd { return .tuple(targets, start) }
        }
        return targets.count == 1 ? targets[0] : .tuple(targets, start)
    }

    private mutating func singleTarget(mayBeAttribute: Bool) throws(TemplateError) -> Target {
        if skip(.leftParenthesis) {
            let target = try nested { (parser) throws(TemplateError) in try parser.target() }
            try expect(.rightParenthesis)
            return target
        }
        let start = position
        guard case .name(let name) = current.kind, Self.constant(name) == nil else {
            throw start.error(.syntax, "can't assign to '\(current.description)'")
        }
        take()
        if mayBeAttribute, skip(.dot) { return .attribute(Variable(name, start), try expectName()) }
        guard name != "loop" || enclosingLoops == 0 else {
            throw start.error(.syntax, "Can't assign to special loop variable in for-loop target")
        }
        return .variable(Variable(name, start))
    }
}
