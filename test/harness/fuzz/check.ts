/** Everything that imgtool does with an archive, as a library; and whatever must never come of it. */
import {execFileSync} from 'node:child_process'
import {existsSync, readdirSync, rmSync} from 'node:fs'
import {join} from 'node:path'
import {inspect, isDeepStrictEqual} from 'node:util'
import {detectCompressions, measure, measureImages} from '../../../src/cli/measure.ts'
import {reportError} from '../../../src/cli/report.ts'
import {type ErrorCode, errorCodes, isImgtoolError} from '../../../src/errors.ts'
import {resolveV1} from '../../../src/ids.ts'
import type {Image} from '../../../src/image/model.ts'
import {addSizes, findParents} from '../../../src/image/parents.ts'
import {defaultLimits} from '../../../src/limits.ts'
import {listFiles, listLayer} from '../../../src/list-files.ts'
import {openSource, type Source} from '../../../src/open.ts'
import {type UnpackResult, unpackImage} from '../../../src/unpack.ts'
import {formatDot} from '../../../src/view/dot.ts'
import {formatHistory, historyOf} from '../../../src/view/history.ts'
import {formatImage, inspectedImage} from '../../../src/view/inspect.ts'
import {formatJSON} from '../../../src/view/json.ts'
import {formatList, listedImage} from '../../../src/view/list.ts'
import {formatListing} from '../../../src/view/listing.ts'
import {drawTree} from '../../../src/view/tree.ts'
import type {Sentinel} from '../sentinel.ts'
import {differences, type Lines, linesOfList, linesOfTree} from './tree-lines.ts'

/** Where a check works: a directory that holds nothing but what it unpacks. */
export interface Place {
  readonly target: string
  readonly parent: string
  readonly sentinel: Sentinel
}

export interface Verdict {
  readonly problems: readonly string[]
  /** `unpacked`, or the code of what was refused first. */
  readonly outcome: string
}

/** Images of one archive that are read and unpacked. */
const maximumImages = 3
const limits = defaultLimits

type Answer<Value> = {readonly value: Value} | {readonly refused: ErrorCode}

/** Checks one archive. It may hang or end the process: that, too, is an answer. */
export async function checkArchive(path: string, place: Place): Promise<Verdict> {
  const check = new Check(place)
  const before = countDescriptors()
  const outcome = await check.run(path)
  if (countDescriptors() > before) check.problems.push(`${countDescriptors() - before} descriptors stay open`)
  return {problems: check.problems, outcome}
}

class Check {
  readonly problems: string[] = []
  readonly #place: Place

  constructor(place: Place) {
    this.#place = place
  }

  async run(path: string): Promise<string> {
    const opened = await this.#try('open', () => openSource({transport: 'auto', path}, {limits}))
    if ('refused' in opened) return opened.refused
    await using source = opened.value
    await this.#look(source)
    const outcomes: string[] = []
    for (const image of source.set.images.slice(0, maximumImages)) {
      await this.#lookAt(source, image)
      outcomes.push(await this.#unpack(image))
    }
    return outcomes.find((outcome) => outcome === 'unpacked') ?? outcomes[0] ?? 'no image'
  }

  /** `tree` and `list`. */
  async #look(source: Source): Promise<void> {
    const {set, archive} = source
    for (const exact of [false, true]) {
      await this.#try('tree', async () => {
        const nodes = findParents([{label: archive.label, set}])
        const layers = nodes.map(({layer}) => layer).filter((layer) => layer !== undefined)
        const sized = addSizes(nodes, await measure(layers, {exact, limits}))
        this.#show('tree', [...drawTree(sized, {full: exact}), ...formatDot(sized, {full: exact}), formatJSON(sized)])
      })
      await this.#try('list', async () => {
        const sizes = await measureImages(set.images, {exact, limits})
        const listed = set.images.map((image, at) => listedImage(source, image, sizes[at]!))
        this.#show('list', [...formatList(listed, {full: exact}), formatJSON(listed)])
      })
    }
    if (set.v1.size > 0) await this.#try('ids', () => resolveV1(set, {limits}))
  }

  /** `history`, `inspect` and `ls --layer`. */
  async #lookAt(source: Source, image: Image): Promise<void> {
    await this.#try('history', async () => {
      const sizes = await measure(image.layers, {exact: true, limits})
      const history = historyOf(image, sizes)
      this.#show('history', [...formatHistory(history, {full: true}), formatJSON(history)])
      const inspected = inspectedImage(source, image, {sizes, compressions: await detectCompressions(image.layers)})
      this.#show('inspect', [...formatImage(inspected, {full: true}), formatJSON(inspected)])
    })
    for (const {index} of image.layers.slice(0, maximumImages)) {
      await this.#try('ls of a layer', async () => {
        this.#show('ls of a layer', [...formatListing(await listLayer(image, index, {limits}))])
      })
    }
  }

  /** With one thread, with several, and as a list: three ways to one tree. */
  async #unpack(image: Image): Promise<string> {
    const listed = await this.#try('ls', async () => {
      const files = [...(await listFiles(image, {limits}))]
      this.#show('ls', [...formatListing(files)])
      return linesOfList(files)
    })
    const alone = await this.#unpackBy(image, false)
    const threaded = await this.#unpackBy(image, true)
    if (!isSame(alone, threaded))
      this.problems.push(`threads change the outcome: ${inspect(summary(alone))}, ${inspect(summary(threaded))}`)
    if (!('value' in alone)) return alone.refused
    if ('value' in threaded) this.#compare('threads change the tree', alone.value.tree?.full, threaded.value.tree?.full)
    if ('refused' in listed) this.problems.push(`unpacked what a list refuses: ${listed.refused}`)
    else this.#compare('unpacked is not as listed', alone.value.tree?.listed, listed.value)
    return 'unpacked'
  }

  #compare(what: string, left: Lines | undefined, right: Lines | undefined): void {
    if (left !== undefined && right !== undefined)
      this.problems.push(...differences(left, right).map((line) => `${what}: ${line}`))
  }

  async #unpackBy(image: Image, threads: boolean) {
    const {target} = this.#place
    const warnings: string[] = []
    const onWarning = ({code, entry}: {code: string; entry?: string}) => warnings.push(`${code} ${entry}`)
    const way = threads ? 'unpack with threads' : 'unpack'
    const answer = await this.#try(way, () => unpackImage(image, target, {threads: threads ? 2 : 1, limits, onWarning}))
    const isRefused = 'refused' in answer
    this.#checkPlace(way, isRefused)
    if (isRefused) return answer
    const tree = readTree(target)
    // What was unpacked is now the hostile tree that is merged into.
    await this.#try(`${way} again`, () => unpackImage(image, target, {threads: threads ? 2 : 1, limits, force: true}))
    this.#checkPlace(`${way} again`, false)
    clear(target)
    return {value: {result: answer.value, warnings: warnings.sort(), tree}}
  }

  #checkPlace(way: string, isRefused: boolean): void {
    const {parent, target, sentinel} = this.#place
    const left = readdirSync(parent).filter((name) => isRefused || join(parent, name) !== target)
    this.problems.push(...left.map((name) => `${way}: "${name}" is left`), ...sentinel.changes())
    for (const name of left) clear(join(parent, name))
  }

  async #try<Value>(what: string, action: () => Value | Promise<Value>): Promise<Answer<Value>> {
    try {
      return {value: await action()}
    } catch (error) {
      if (isImgtoolError(error)) {
        const {text} = reportError(error, {debug: false})
        this.#show(`the error of ${what}`, [text])
        if (!/^Error: [^\n]+\n(?:Hint: [^\n]+\n)?$/.test(text)) this.problems.push(`${what}: more than a line: ${text}`)
        if (!(error.code in errorCodes)) this.problems.push(`${what}: unknown code ${error.code}`)
        return {refused: error.code}
      }
      this.problems.push(`${what}: ${inspect(error).split('\n').slice(0, 4).join(' | ')}`)
      return {refused: 'SYSTEM_ERROR'}
    }
  }

  /** Lines for a terminal, where no archive may write anything but text. */
  #show(what: string, lines: readonly string[]): void {
    const bad = lines.find((line) => /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(line.replaceAll('\n', '')))
    if (bad !== undefined) this.problems.push(`${what} has control characters: ${JSON.stringify(bad.slice(0, 200))}`)
  }
}

interface Unpacked {
  readonly result: UnpackResult
  readonly warnings: readonly string[]
}

/** An archive with two faults may be refused for either: threads decompress ahead of what is applied. */
function isSame(alone: Answer<Unpacked>, threaded: Answer<Unpacked>): boolean {
  if ('refused' in alone && 'refused' in threaded) return true
  return isDeepStrictEqual(summary(alone), summary(threaded))
}

function summary(answer: Answer<Unpacked>): unknown {
  return 'refused' in answer ? answer : {result: answer.value.result, warnings: answer.value.warnings}
}

/** Undefined for a tree whose paths are too long to be named. */
function readTree(root: string): ReturnType<typeof linesOfTree> | undefined {
  try {
    return linesOfTree(root)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENAMETOOLONG') return undefined
    throw error
  }
}

/** Node's own removal fails on paths that are longer than PATH_MAX. */
export function clear(path: string): void {
  try {
    rmSync(path, {recursive: true, force: true})
  } catch {
    // It is tried again.
  }
  if (existsSync(path)) execFileSync('rm', ['-rf', '--', path])
}

function countDescriptors(): number {
  return readdirSync('/proc/self/fd').length
}
