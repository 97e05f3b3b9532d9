/** The process that feeds imgtool, seen from outside: whether it lives and answers. */
import {type ChildProcess, fork} from 'node:child_process'
import {copyFileSync, existsSync, readFileSync, rmSync} from 'node:fs'
import {join} from 'node:path'
import process from 'node:process'
import type {Tally} from '../tally.ts'
import {inputName, type Job, keptName, type Message} from './child.ts'

/** Milliseconds that one input may take, of a processor; or without any, which is how a deadlock looks on a busy machine, too. */
const hangMs = 20_000
/** Milliseconds of one tick of the clock in /proc. @see proc(5), sysconf(3): _SC_CLK_TCK is 100 on Linux */
const tickMs = 10

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
  #isHanging = false
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
    for (const stream of [this.#child.stdout!, this.#child.stderr!])
      stream.on('data', (chunk) => {
        this.#said += chunk
      })
    this.#child.on('message', (message: Message) => this.#hear(message))
    this.ended = new Promise((resolve) => {
      this.#child.on('close', (status, signal) => {
        this.#end(signal ?? status)
        resolve(this.#number)
      })
    })
  }

  #hear(message: Message): void {
    if (this.#isHanging) return
    this.#isAtWork = message.kind === 'begins'
    this.#number = message.number
    if (message.kind === 'begins') {
      this.#title = message.title
      this.#startTimer()
      return
    }
    this.#outcomes.set(message.outcome, (this.#outcomes.get(message.outcome) ?? 0) + 1)
    this.#tell(message.problems)
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
    if (!isStuck) return
    this.#isHanging = true
    this.#child.kill('SIGKILL')
  }

  /** Time of a processor that the child has had. */
  #usedMs(): number {
    try {
      const fields = readFileSync(`/proc/${this.#child.pid}/stat`, 'latin1')
        .replace(/^.*\) /s, '')
        .split(' ')
      return tickMs * (Number(fields[11]) + Number(fields[12]))
    } catch {
      return 0
    }
  }

  #end(status: string | number | null): void {
    clearInterval(this.#timer)
    const hangs = `no answer in ${hangMs / 1000} s of a processor, or without one`
    const ended = `the process ended with ${status}: ${JSON.stringify(this.#said.slice(0, 600))}`
    if (this.#isAtWork) this.#keep()
    if (this.#isAtWork || status !== 0) this.#tell([this.#isHanging ? hangs : ended])
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
    const input = join(this.#job.folder, inputName)
    if (existsSync(input)) copyFileSync(input, keptName(this.#job, this.#number))
  }
}
