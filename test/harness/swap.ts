/**
 * Unpacks again and again while another process exchanges directories of the tree at work with symlinks that lead out of it.
 * A run may succeed or be refused; nothing outside may change, and nothing from there may be copied in.
 *
 *     npm run test:swap -- [--seconds N] [--seed N]
 */
import {type ChildProcess, fork} from 'node:child_process'
import {once} from 'node:events'
import {mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import process from 'node:process'
import {parseArgs} from 'node:util'
import {Disk, requireRoot} from '../helpers/disk.ts'
import {describeEnding, type Ending, runImgtool} from './imgtool.ts'
import {writeMediumImage} from './medium-image.ts'
import {Dice} from './random.ts'
import {Sentinel, sentinelMark} from './sentinel.ts'
import type {Attack, Hits} from './swap-attacker.ts'
import {Tally} from './tally.ts'

const MiB = 1024 ** 2
const linkCount = 8

/** What a run meets. */
interface Scene {
  readonly name: string
  readonly words: readonly string[]
  /** Beginning of the names of what is attacked. */
  readonly victims: string
  readonly prepare: (target: string) => void
}

const scenes: readonly Scene[] = [
  {name: 'absent', words: [], victims: 'rootfs.imgtool-', prepare: () => {}},
  {name: 'occupied', words: ['--force'], victims: 'rootfs.imgtool-', prepare: occupy},
  {name: 'occupied and attacked, too', words: ['--force'], victims: 'rootfs', prepare: occupy},
]

const {values} = parseArgs({
  options: {
    seconds: {type: 'string', default: process.env.IMGTOOL_SWAP_SECONDS ?? '20'},
    seed: {type: 'string', default: '1'},
  },
})

requireRoot('test:swap')
using disk = new Disk({size: 512 * MiB})
const image = writeMediumImage(disk.path)
const sentinel = new Sentinel(join(disk.path, 'outside'))
const links = join(disk.path, 'way-out-')
const dice = new Dice(Number(values.seed))
const tally = new Tally()
const until = Date.now() + 1000 * Number(values.seconds)
let swaps = 0
let refused = 0
let run = 0
for (; run < scenes.length || Date.now() < until; run++) await attackRun(scenes[run % scenes.length]!)
process.stdout.write(`${run} runs, ${refused} of them refused, ${swaps} swaps\n`)
tally.finish()

async function attackRun(scene: Scene): Promise<void> {
  const place = join(disk.path, `place-${run}`)
  const target = join(place, 'rootfs')
  mkdirSync(place)
  scene.prepare(target)
  for (let number = 0; number < linkCount; number++) symlinkSync(wayOut(number), `${links}${number}`)
  const attack: Attack = {place, victims: scene.victims, links, linkCount, seed: dice.below(2 ** 31)}
  const attacker = fork(new URL('./swap-attacker.ts', import.meta.url), [JSON.stringify(attack)])
  await once(attacker, 'message')
  const ending = await runImgtool(['unpack', image, target, ...scene.words], {env: {IMGTOOL_THREADS: '2'}})
  const hits = await askHits(attacker)
  swaps += hits
  if (ending.status !== 0) refused++
  const missed = hits === 0 ? ['nothing was swapped while it ran'] : []
  tally.add(`run ${run}, target ${scene.name}`, [...missed, ...judge(ending), ...sentinel.changes(), ...leaks(place)])
  // What is exchanged may be anywhere between these.
  rmSync(place, {recursive: true, force: true})
  for (let number = 0; number < linkCount; number++) rmSync(`${links}${number}`, {recursive: true, force: true})
}

/** Out by an absolute path and by relative ones, to directories of every depth. */
function wayOut(number: number): string {
  return [
    sentinel.path,
    join(sentinel.path, 'a'),
    join(sentinel.path, 'a/b'),
    '../../outside',
    '../../../outside/a',
    join(sentinel.path, 'empty'),
  ][number % 6]!
}

/** Stops the attacker. @returns how often it hit */
async function askHits(attacker: ChildProcess): Promise<number> {
  attacker.send('how many?')
  const [{swaps: hits}] = (await once(attacker, 'message')) as [Hits]
  attacker.disconnect()
  await once(attacker, 'exit')
  return hits
}

function judge(ending: Ending): string[] {
  const isRefusal = ending.status === 1 && /^Error: [^\n]+\n(?:Hint: [^\n]+\n)?$/.test(ending.stderr)
  return ending.status === 0 || isRefusal ? [] : [describeEnding(ending)]
}

/** Files of the outside that were copied in. */
function leaks(place: string): string[] {
  const names = readdirSync(place, {recursive: true, encoding: 'utf8'})
  return names
    .filter((name) => name.endsWith(`/${sentinelMark}`))
    .slice(0, 5)
    .map((name) => `a copy from outside: ${name}`)
}

/** Enough of it that copying it takes a while. */
function occupy(target: string): void {
  for (let folder = 0; folder < 20; folder++) {
    mkdirSync(join(target, `folder-${folder}`, 'below'), {recursive: true})
    for (let number = 0; number < 50; number++)
      writeFileSync(join(target, `folder-${folder}`, 'below', String(number)), 'before')
  }
}
