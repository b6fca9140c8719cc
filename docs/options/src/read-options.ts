import { readdirSync, readFileSync } from 'node:fs'
import ts from 'typescript'
import type { Option, OptionsOfFunction } from './option.ts'

/** What users define is an option too, though no parameter of that name takes it. */
const DEFINED_BY_USERS = ['Projection']
/** For authors of adapters: `docs/writing-an-adapter.md` is about it. */
const NOT_FOR_USERS = './adapter'

/** The options of every function that the packages export, and of the methods of what these functions return. */
export function readOptions(repository: string): readonly OptionsOfFunction[] {
  const entries = entryPoints(repository)
  const program = ts.createProgram(
    entries.map(({ file }) => file),
    {
      target: ts.ScriptTarget.ES2023,
      module: ts.ModuleKind.NodeNext,
      strict: true,
      exactOptionalPropertyTypes: true,
      allowImportingTsExtensions: true,
      noEmit: true,
      skipLibCheck: true,
      types: ['node'],
      // Sources, not what was compiled of them: that may be older.
      paths: Object.fromEntries(allEntryPoints(repository).map(({ from, file }) => [from, [file]])),
    },
  )
  const reader = new OptionsReader(program.getTypeChecker(), repository)
  return entries.flatMap(({ from, file }) => {
    const source = program.getSourceFile(file)
    if (source === undefined) throw new TypeError(`${file} is not there`)
    return reader.of(from, source)
  })
}

interface EntryPoint {
  readonly from: string
  readonly file: string
}

function entryPoints(repository: string): readonly EntryPoint[] {
  return allEntryPoints(repository).filter(({ from }) => !from.endsWith(NOT_FOR_USERS.slice(1)))
}

/** What `exports` of each public package names, as sources. */
function allEntryPoints(repository: string): readonly EntryPoint[] {
  return readdirSync(`${repository}packages`).flatMap((folder) => {
    const root = `${repository}packages/${folder}/`
    const { name, private: isPrivate, exports } = JSON.parse(readFileSync(`${root}package.json`, 'utf8'))
    if (isPrivate === true) return []
    const targets = Object.entries<{ readonly types?: string }>(exports)
    return targets.flatMap(([path, { types }]) =>
      types === undefined
        ? []
        : [
            {
              from: name + path.slice(1),
              file: types.replace('./dist/', `${root}src/`).replace('.d.ts', '.ts'),
            },
          ],
    )
  })
}

class OptionsReader {
  readonly #checker: ts.TypeChecker
  readonly #repository: string

  constructor(checker: ts.TypeChecker, repository: string) {
    this.#checker = checker
    this.#repository = repository
  }

  of(from: string, source: ts.SourceFile): readonly OptionsOfFunction[] {
    const checker = this.#checker
    const module = checker.getSymbolAtLocation(source)
    if (module === undefined) throw new TypeError(`${source.fileName} exports nothing`)
    const symbols = checker
      .getExportsOfModule(module)
      .map((exported) =>
        exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported,
      )
    const returned = new Set(symbols.flatMap((symbol) => this.#returnedBy(symbol)))
    return symbols.flatMap((symbol) => {
      const { name } = symbol
      if (symbol.flags & ts.SymbolFlags.Function) {
        const type = checker.getTypeOfSymbol(symbol)
        return functionOf(from, name, this.#ofParameter(type))
      }
      if (!(symbol.flags & ts.SymbolFlags.Interface)) return []
      const type = checker.getDeclaredTypeOfSymbol(symbol)
      if (DEFINED_BY_USERS.includes(name)) return functionOf(from, name, this.#ofType(type))
      if (!returned.has(symbol)) return []
      return checker
        .getPropertiesOfType(type)
        .flatMap((method) =>
          functionOf(from, `${name}.${method.name}`, this.#ofParameter(checker.getTypeOfSymbol(method))),
        )
    })
  }

  #returnedBy(symbol: ts.Symbol): readonly ts.Symbol[] {
    const signatures = this.#checker.getTypeOfSymbol(symbol).getCallSignatures()
    return signatures.flatMap((signature) => signature.getReturnType().symbol ?? [])
  }

  /** Of the parameter that is named `options`, in all overloads. */
  #ofParameter(type: ts.Type): readonly Option[] {
    const checker = this.#checker
    const callable = checker.getNonNullableType(type)
    const parameters = callable.getCallSignatures().flatMap((signature) => signature.parameters)
    return parameters
      .filter(({ name }) => name === 'options')
      .flatMap((parameter) => this.#ofType(checker.getNonNullableType(checker.getTypeOfSymbol(parameter))))
  }

  #ofType(type: ts.Type): readonly Option[] {
    if (type.isUnion()) return type.types.flatMap((part) => this.#ofType(part))
    return this.#checker.getPropertiesOfType(type).flatMap((property) => this.#option(property))
  }

  #option(property: ts.Symbol): readonly Option[] {
    const [declaration] = property.declarations ?? []
    if (declaration === undefined) return []
    const type = this.#checker.getTypeOfSymbol(property)
    // `filter?: never` says that there is none.
    if (this.#checker.getNonNullableType(type).flags & ts.TypeFlags.Never) return []
    const kind = kindOf(this.#checker, this.#checker.getNonNullableType(type))
    const doc = docstringOf(declaration)
    const tag = (name: string): string | undefined => doc.tags.get(name)
    const isRequired = !(property.flags & ts.SymbolFlags.Optional)
    const source = declaration.getSourceFile()
    const { line } = source.getLineAndCharacterOfPosition(declaration.getStart())
    return [
      {
        name: property.name,
        isRequired,
        kind,
        unit: tag('unit') ?? (property.name.endsWith('Ms') ? 'milliseconds' : undefined),
        default: tag('default'),
        ...doc,
        declaredAt: `${source.fileName.replace(this.#repository, '')}:${line + 1}`,
      },
    ]
  }
}

/** Overloads and unions may bring an option twice: required is what is required in one of them. */
function functionOf(from: string, name: string, found: readonly Option[]): readonly OptionsOfFunction[] {
  const byName = new Map<string, Option>()
  for (const option of found) if (!byName.has(option.name)) byName.set(option.name, option)
  return byName.size === 0 ? [] : [{ from, name, options: [...byName.values()] }]
}

function kindOf(checker: ts.TypeChecker, type: ts.Type): string {
  if (type.flags & ts.TypeFlags.BooleanLike || isOfParts(type, ts.TypeFlags.BooleanLike)) return 'boolean'
  if (type.flags & ts.TypeFlags.NumberLike) return 'number'
  if (isOfParts(type, ts.TypeFlags.StringLiteral)) return 'choice'
  if (type.flags & ts.TypeFlags.StringLike) return 'text'
  if (checker.isArrayType(type)) return 'list'
  if (type.getCallSignatures().length > 0) return 'function'
  const isParameter = (type.flags & ts.TypeFlags.TypeParameter) !== 0
  if (type.isUnion() || (isParameter && checker.getBaseConstraintOfType(type)?.symbol === undefined)) {
    return 'value'
  }
  return type.symbol?.name === 'AbortSignal' ? 'AbortSignal' : 'object'
}

function isOfParts(type: ts.Type, flag: ts.TypeFlags): boolean {
  return type.isUnion() && type.types.every((part) => part.flags & flag)
}

interface Docstring {
  readonly paragraphs: readonly string[]
  readonly points: readonly string[]
  readonly tags: ReadonlyMap<string, string>
}

function docstringOf(declaration: ts.Declaration): Docstring {
  const [docs] = ts.getJSDocCommentsAndTags(declaration).filter(ts.isJSDoc)
  const tags = new Map(
    (docs?.tags ?? []).map((tag) => [tag.tagName.text, oneLine(ts.getTextOfJSDocComment(tag.comment) ?? '')]),
  )
  const blocks = (ts.getTextOfJSDocComment(docs?.comment) ?? '').split(/\n\s*\n|\n(?=- )/).map(oneLine)
  return {
    paragraphs: blocks.filter((block) => block !== '' && !block.startsWith('- ')),
    points: blocks.filter((block) => block.startsWith('- ')).map((block) => block.slice(2)),
    tags,
  }
}

function oneLine(text: string): string {
  return text.replaceAll(/\s*\n\s*/g, ' ').trim()
}
