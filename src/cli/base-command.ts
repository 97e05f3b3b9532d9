/** What all commands share: flags, the way errors and warnings come out, and interruption. */
import {existsSync} from 'node:fs'
import process from 'node:process'
import {Command, Flags, type Interfaces} from '@oclif/core'
import {shortID} from '../digest.ts'
import {ImgtoolError} from '../errors.ts'
import type {Image, Platform} from '../image/model.ts'
import type {Limits} from '../limits.ts'
import {openSource, parsePlatform, type Source} from '../open.ts'
import {parseReference, type Reference, standardInput} from '../reference.ts'
import {printableText} from '../text.ts'
import {formatJSON} from '../view/json.ts'
import {parseLimits} from './limit-flag.ts'
import {nameArchive} from './name-archive.ts'
import {hintAtOpening} from './open-hint.ts'
import {type ErrorDocument, exitCodes, isOn, reportError, wantsDebug} from './report.ts'
import {Warnings} from './warnings.ts'

type FlagsOf<T extends typeof Command> = Interfaces.InferredFlags<(typeof BaseCommand)['baseFlags'] & T['flags']>
type ArgsOf<T extends typeof Command> = Interfaces.InferredArgs<T['args']>

// oclif takes `-:name` for a flag. Before it parses, such a word gets a prefix that no word of a command line can have.
const shield = '\0'

/**
 * A command of imgtool. `run` returns the document that `--json` prints, and prints text by `logLines`, which is silent
 * with `--json`.
 */
export abstract class BaseCommand<T extends typeof Command> extends Command {
  static override readonly enableJsonFlag = true
  static override readonly baseFlags = {
    json: Flags.boolean({description: 'print a JSON document', env: 'IMGTOOL_JSON', helpGroup: 'GLOBAL'}),
    debug: Flags.boolean({description: 'print the stack of an error', env: 'IMGTOOL_DEBUG', helpGroup: 'GLOBAL'}),
    quiet: Flags.boolean({char: 'q', description: 'print no warnings', env: 'IMGTOOL_QUIET', helpGroup: 'GLOBAL'}),
    limit: Flags.string({
      // Not oclif's `env`, which does not know lists.
      default: async () => process.env.IMGTOOL_LIMIT?.split(/[\s,]+/).filter(Boolean) ?? [],
      defaultHelp: async () => undefined,
      description: 'raise or lower a limit of what is believed; repeatable [env: IMGTOOL_LIMIT]',
      helpGroup: 'GLOBAL',
      helpValue: 'NAME=N',
      multiple: true,
      multipleNonGreedy: true,
    }),
  }

  protected flags!: FlagsOf<T>
  protected args!: ArgsOf<T>
  /** How much of the archive is believed. */
  protected limits!: Limits
  /** The platform that was asked for, as an option of the functions that select images. */
  protected platform: {readonly platform?: Platform} = {}
  readonly #warnings = new Warnings()
  #note: string | undefined
  /** The archive at work, which errors from the depth of a layer do not know. */
  #archive: string | undefined
  #signal: AbortSignal | undefined

  override async init(): Promise<void> {
    await super.init()
    const {args, baseFlags, flags, strict} = this.ctor
    const words = shieldWords(this.argv)
    const parsed = await this.parse({args, baseFlags, enableJsonFlag: true, flags, strict}, words)
    this.flags = parsed.flags as FlagsOf<T>
    this.args = unshieldArgs(parsed.args) as ArgsOf<T>
    this.limits = parseLimits(this.flags.limit)
    const {platform} = this.flags as {readonly platform?: string}
    if (platform !== undefined) this.platform = {platform: parsePlatform(platform)}
  }

  override jsonEnabled(): boolean {
    return super.jsonEnabled() || isOn(process.env.IMGTOOL_JSON)
  }

  override logJson(json: unknown): void {
    process.stdout.write(`${formatJSON(json)}\n`)
  }

  /**
   * Keeps a warning for the end of the run.
   *
   * @param code warnings with the same one are printed once, with their number
   */
  override warn(input: Error | string, code?: string): Error | string {
    this.#warnings.add(input instanceof Error ? input.message : input, code)
    return input
  }

  override async catch(error: Error): Promise<never> {
    const known = nameArchive(error, this.#archive)
    const report = reportError(known, {command: this.id ?? '', debug: wantsDebug(this.argv)})
    if (this.jsonEnabled()) this.logJson(report.json)
    else process.stderr.write(report.text)
    return this.exit(report.exitCode) as never
  }

  override async finally(error: Error | undefined): Promise<void> {
    if (error === undefined && process.exitCode === exitCodes.unwritten) process.exitCode = 0
    if (error !== undefined || this.jsonEnabled()) return
    this.printWarnings()
    if (this.#note !== undefined && !this.flags.quiet) process.stderr.write(`${this.#note}\n`)
  }

  override toSuccessJson(result: unknown): unknown {
    return {...(result as object), warnings: this.#warnings.list()}
  }

  /** Keeps a line that explains the text of the output, for the end of the run; the first one counts. */
  protected noteAtEnd(line: string | undefined): void {
    this.#note ??= line
  }

  /** Prints what {@link warn} kept; called at the end of a run unless the document of `--json` has it. */
  protected printWarnings(): void {
    if (this.flags.quiet) return
    for (const line of this.#warnings.lines()) process.stderr.write(`${printableText(line)}\n`)
  }

  /** Says of each image that is not whole which layer it lacks: its size is that of the others. */
  protected warnOfPartial(images: readonly Image[]): void {
    for (const {names, imageID, v1ID, broken} of images) {
      if (broken === undefined) continue
      const name = names[0] === undefined ? shortID(imageID ?? v1ID ?? '') : `"${printableText(names[0])}"`
      this.warn(`Image ${name} is partial: ${broken.message}`)
    }
  }

  /** Refuses a flag that would mean nothing. @throws {ImgtoolError} REFERENCE_INVALID where it was given */
  protected refuse(flag: string & keyof FlagsOf<T>, why: string): void {
    const value: unknown = this.flags[flag]
    if (value === undefined || value === false) return
    throw new ImgtoolError('REFERENCE_INVALID', `Cannot use --${flag}: it is for use ${why}`)
  }

  /** Whether a person is told what is done: progress and results beside the output. */
  protected get isTalking(): boolean {
    return !this.flags.quiet && !this.jsonEnabled()
  }

  /** Tells a person what was done. To standard error: standard output may be an archive, or piped. */
  protected say(line: string): void {
    if (this.isTalking) process.stderr.write(`${line}\n`)
  }

  /** Prints lines at once; nothing with `--json`. */
  protected logLines(lines: readonly string[]): void {
    if (!this.jsonEnabled() && lines.length > 0) process.stdout.write(`${lines.join('\n')}\n`)
  }

  /** Nothing but the archive may go to standard output, and nobody wants it on a terminal. */
  protected requirePipe(): void {
    if (this.jsonEnabled()) {
      throw new ImgtoolError('REFERENCE_INVALID', 'Cannot print JSON where the archive goes', {
        hint: 'Leave --json out, or write to a file',
      })
    }
    if (process.stdout.isTTY) {
      throw new ImgtoolError('REFERENCE_INVALID', 'Cannot write an archive to a terminal', {
        hint: 'Pipe it, or give a file instead of -',
      })
    }
    this.expectReader()
  }

  /** Nobody types an archive: a run that waits for one only looks as if it hung. */
  protected requireInput(): void {
    if (!process.stdin.isTTY) return
    throw new ImgtoolError('REFERENCE_INVALID', 'Cannot read an archive from a terminal', {
      hint: 'Pipe it, or give a file instead of -',
    })
  }

  /** From here on it is a failure when nobody reads standard output to its end, until the run has succeeded. */
  protected expectReader(): void {
    process.exitCode = exitCodes.unwritten
  }

  /**
   * Does something with one of several archives, so that one that cannot be read costs the others nothing: its error is printed
   * at once, and the run goes on and fails in the end. One archive alone fails as it does with every command.
   *
   * @param archive is named in the error. @default the last one that was opened
   * @returns what was done, or the error as a document
   * @throws whatever is not about the archive: misuse, interruption, a bug
   */
  protected async tryArchive<Result>(
    archives: readonly string[],
    work: () => Promise<Result>,
    archive?: string,
  ): Promise<{readonly result: Result} | {readonly error: ErrorDocument}> {
    try {
      return {result: await work()}
    } catch (error) {
      const known = nameArchive(error, archive ?? this.#archive)
      if (archives.length === 1 || !isAboutArchive(known)) throw error
      const report = reportError(known, {debug: wantsDebug(this.argv)})
      if (!this.jsonEnabled()) process.stderr.write(report.text)
      process.exitCode = exitCodes.failed
      return {error: report.json.error}
    }
  }

  /** Opens what a reference names, with its oddities as warnings. The caller closes it. */
  protected async open(text: string): Promise<Source> {
    this.#archive = undefined
    const source = await this.opening(text, (reference) => openSource(reference, {limits: this.limits}))
    this.#archive = source.archive.label
    for (const warning of source.set.warnings) this.warn(warning)
    return source
  }

  /** Does what begins with opening an archive, and says in an error what to type instead. Existing files win over names behind a colon. */
  protected async opening<Result>(text: string, open: (reference: Reference) => Promise<Result>): Promise<Result> {
    const reference = parseReference(text, existsSync)
    if (reference.path === standardInput && reference.transport !== 'docker-root') this.requireInput()
    try {
      return await open(reference)
    } catch (error) {
      throw nameArchive(hintAtOpening(error, text, reference, [this.id ?? '', ...this.argv]), reference.path)
    }
  }

  /**
   * Aborts on SIGINT, SIGTERM and SIGHUP, with the error to throw as its reason. From the first use on, the command has to
   * end by itself; before, a signal ends the process.
   */
  protected get signal(): AbortSignal {
    this.#signal ??= signalOfProcess()
    return this.#signal
  }
}

function isAboutArchive(error: unknown): boolean {
  return error instanceof ImgtoolError && error.code !== 'INTERRUPTED' && error.code !== 'REFERENCE_INVALID'
}

function signalOfProcess(): AbortSignal {
  const controller = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    // One cause may send several: a closed terminal signals its processes, and their shell does so again.
    process.on(name, () => {
      controller.abort(new ImgtoolError('INTERRUPTED', `Interrupted by ${name}`, {actual: name}))
    })
  }
  return controller.signal
}

function shieldWords(words: readonly string[]): string[] {
  const end = words.indexOf('--')
  return words.map((word, index) => (word.startsWith('-:') && (end === -1 || index < end) ? shield + word : word))
}

function unshieldArgs(args: Record<string, unknown>): Record<string, unknown> {
  const unshield = (value: unknown) => (typeof value === 'string' && value.startsWith(shield) ? value.slice(1) : value)
  return Object.fromEntries(
    Object.entries(args).map(([name, value]) => [name, Array.isArray(value) ? value.map(unshield) : unshield(value)]),
  )
}
