/** The process that feeds imgtool, seen from outside: whether it lives, answers, and stays small. */
import {type ChildProcess, fork} from 'node:child_process'
import {copyFileSync, readFileSync, rmSync} from 'node:fs'
import {join} from 'node:path'
import process from 'node:process'
import type {Tally} from '../tally.ts'
import {inputName, type Job, keptName, type Message} from './child.ts'

const MiB = 1024 ** 2
/** Milliseconds that one input may take, of a processor; or without any, which is how a deadlock looks on a busy machine, too. */
const hangMs = 20_000
/** Milliseconds of one tick of the clock in /proc. @see proc(5), sysconf(3): _SC_CLK_TCK is 100 on Linux */
const tickMs = 10
/** Bytes that a process may ever have: its inputs are small, but it makes thousands of them, and each three times. */
const maximumMemory = 512 * MiB

/** Watches one process until it is done, or has failed: whatever it was about to check then is a failure. */
export class Watch {
  /** Number of the last input that it began. */
  readonly ended: Promise<number>
  readonly #job: Job
  readonly #tally: Tally
  readonly #outcomes: Map<string, number>
  readonly #child: ChildProcess
  #number: number
  #title = 'the start'
  #isAtWork = true
  /** Why it was ended. */
  #stopped: 'hang' | 'memory' | undefined
  #said = ''
  #timer: NodeJS.Timeout | undefined
  /** Time of a processor that the child had had when it began its input, and when it was looked at last. */
  #begun = 0
  #seen = 0

  /** @param outcomes of inputs, counted */
  constructor(job: Job, tally: Tally, outcomes: Map<string, number>) {
    this.#job = job
    this.#tally = tally
    this.#outcomes = outcomes
    this.#number = job.from
    const env = {...process.env, NODE_DISABLE_COMPILE_CACHE: '1', TMPDIR: job.folder}
    this.#child = fork(new URL('./child.ts', import.meta.url), [JSON.stringify(job)], {silent: true, env})
    this.#startTimer()
    for (const stream of [this.#child.stdout!, this.#child.stderr!]) stream.on('data', (chunk) => (this.#said += chunk))
    this.#child.on('message', (message: Message) => this.#hear(message))
    this.ended = new Promise((resolve) => {
      this.#child.on('close', (status, signal) => {
        this.#end(signal ?? status)
        resolve(this.#number)
      })
    })
  }

  #hear(message: Message): void {
    if (this.#stopped !== undefined) return
    this.#isAtWork = message.kind === 'begins'
    this.#number = message.number
    if (message.kind === 'begins') {
      this.#title = message.title
      this.#startTimer()
      return
    }
    clearInterval(this.#timer)
    this.#outcomes.set(message.outcome, (this.#outcomes.get(message.outcome) ?? 0) + 1)
    const isLarge = message.peak > maximumMemory
    this.#tell([...message.problems, ...(isLarge ? [`the process has had ${Math.round(message.peak / MiB)} MiB`] : [])])
    // The peak is that of the process: only another one has its own.
    if (isLarge) this.#stop('memory')
  }

  #startTimer(): void {
    clearInterval(this.#timer)
    this.#begun = this.#seen = this.#usedMs()
    this.#timer = setInterval(() => this.#look(), hangMs)
  }

  #look(): void {
    const used = this.#usedMs()
    const isStuck = used === this.#seen || used - this.#begun > hangMs
    this.#seen = used
    if (isStuck) this.#stop('hang')
  }

  /** Time of a processor that the child has had. */
  #usedMs(): number {
    try {
      const [, user = '0', system = '0'] =
        /\) (?:\S+ ){11}(\d+) (\d+)/.exec(readFileSync(`/proc/${this.#child.pid}/stat`, 'latin1')) ?? []
      return tickMs * (Number(user) + Number(system))
    } catch {
      return 0
    }
  }

  #stop(why: 'hang' | 'memory'): void {
    this.#stopped = why
    this.#child.kill('SIGKILL')
  }

  #end(status: string | number | null): void {
    clearInterval(this.#timer)
    if (this.#stopped !== 'memory' && this.#isAtWork) this.#keep()
    if (this.#stopped === 'hang') this.#tell([`no answer in ${hangMs / 1000} s of a processor, or without one`])
    else if (this.#stopped === undefined && (this.#isAtWork || status !== 0))
      this.#tell([`the process ended with ${status}: ${JSON.stringify(this.#said.slice(0, 600))}`])
    rmSync(this.#job.folder, {recursive: true, force: true})
  }

  #tell(problems: readonly string[]): void {
    const {seed} = this.#job
    const kept = problems.length === 0 ? '' : `; the input is ${keptName(this.#job, this.#number)}`
    this.#tally.add(
      `input ${this.#number} of seed ${seed} (${this.#title})`,
      problems.map((problem) => problem + kept),
    )
  }

  /** Copies the input to where it outlives this run; whoever still works does so by itself. */
  #keep(): void {
    copyFileSync(join(this.#job.folder, inputName), keptName(this.#job, this.#number))
  }
}
