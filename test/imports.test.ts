import {globSync, readFileSync} from 'node:fs'
import path from 'node:path'
import test from 'ava'

const root = path.resolve(import.meta.dirname, '..')

interface Import {
  readonly from: string
  readonly to: string
  readonly isType: boolean
}

/** What every room may know; `errors`, `text`, `digest` and `limits` are known to all. */
const flow: Readonly<Record<string, readonly string[]>> = {
  os: [],
  tar: [],
  thread: [],
  compression: ['os', 'thread'],
  archive: ['compression', 'tar', 'thread'],
  image: ['archive', 'tar', 'compression (types)'],
  layer: ['compression', 'tar', 'thread', 'archive (types)'],
  driver: ['layer', 'tar', 'thread', 'os'],
  store: ['archive', 'compression', 'driver', 'image', 'layer', 'os', 'tar', 'thread'],
  view: [],
  verify: ['archive', 'compression', 'image', 'layer'],
  cli: ['archive', 'compression', 'image', 'layer', 'driver', 'view', 'use case'],
  'use case': [
    'archive',
    'compression',
    'image',
    'layer',
    'driver',
    'os',
    'store',
    'tar',
    'thread',
    'verify',
    'use case',
  ],
  command: ['use case', 'cli', 'view', 'image'],
  common: ['common'],
}

/** Functions on data, which views may call. */
const pure = ['src/image/steps.ts', 'src/reference.ts']

const common = ['errors', 'text', 'digest', 'limits'].map((name) => `src/${name}.ts`)
const files = globSync('{src,commands}/**/*.ts', {cwd: root}).toSorted()
const imports = files.flatMap(importsOf)

/** The room of a file of this project. */
function roomOf(file: string): string {
  if (common.includes(file)) return 'common'
  if (file.startsWith('commands/')) return 'command'
  const [, room = '', ...rest] = file.split('/')
  return rest.length === 0 ? 'use case' : room
}

/** Static imports, re-exports and `import()`, of files as paths from the root. */
function importsOf(from: string): Import[] {
  const source = readFileSync(path.join(root, from), 'utf8').replace(/^ *(?:\/\/|\/?\*).*$/gm, '')
  const statics = source.matchAll(/^(?:import|export)\b([^'"`;]*?)(?:\bfrom )?'([^']+)'/gm)
  const dynamics = source.matchAll(/\bimport\(()'([^']+)'\)/g)
  return [...statics, ...dynamics].map(([, clause = '', name = '']) => ({
    from,
    to: name.startsWith('.') ? path.join(path.dirname(from), name) : name,
    isType: isTypeOnly(clause),
  }))
}

/** `import type {…}`, or braces in which every name is a type. */
function isTypeOnly(clause: string): boolean {
  if (/^\s*type\b/.test(clause)) return true
  const names = /^\s*\{([\s\S]*)\}\s*$/.exec(clause)?.[1]
  return Boolean(names?.split(',').every((name) => /^\s*(?:type\b|$)/.test(name)))
}

function isAllowed({from, to, isType}: Import): boolean {
  const [room, target] = [roomOf(from), roomOf(to)]
  if (room === target || target === 'common') return true
  // A view is handed data of every kind and makes text of it; what it calls must be as pure as itself.
  if (room === 'view') return isType || pure.includes(to)
  return flow[room]?.includes(target) || (isType && flow[room]?.includes(`${target} (types)`)) || false
}

const inside = imports.filter(({to}) => files.includes(to))
const show = ({from, to}: Import) => `${from} -> ${to}`

test('finds the imports it is about', (t) => {
  t.true(files.length > 50)
  t.true(inside.length > 200)
  t.deepEqual(
    imports.filter(({to}) => to.endsWith('.ts') && !files.includes(to)),
    [],
  )
})

test('goes with the flow everywhere', (t) => {
  const rooms = new Set(files.map(roomOf))
  t.deepEqual(
    [...rooms].filter((room) => flow[room] === undefined),
    [],
  )
  t.deepEqual(inside.filter((edge) => !isAllowed(edge)).map(show), [])
})

test('has no cycles between files, types aside', (t) => {
  const targets = Map.groupBy(
    inside.filter(({isType}) => !isType),
    ({from}) => from,
  )
  const left = new Set(files)
  // Files that import nothing that is left are taken away, over and over; a cycle stays.
  for (let before = -1; before !== left.size; ) {
    before = left.size
    for (const file of left) if (!targets.get(file)?.some(({to}) => left.has(to))) left.delete(file)
  }
  t.deepEqual([...left], [])
})

test('lets views reach no file system, whatever they import', (t) => {
  const reached = new Set(files.filter((file) => roomOf(file) === 'view'))
  for (const file of reached) for (const {from, to, isType} of imports) if (from === file && !isType) reached.add(to)
  t.deepEqual([...reached].filter((name) => /^node:/.test(name)).toSorted(), ['node:crypto'])
})

test('keeps system calls, the command line and other programs to those who need them', (t) => {
  const users = (wanted: RegExp) => imports.filter(({to}) => wanted.test(to)).map(({from}) => from)
  t.deepEqual([...new Set(users(/^koffi$/).map(roomOf))], ['os'])
  t.deepEqual([...new Set(users(/^@oclif/).map(roomOf))].toSorted(), ['cli', 'command'])
  // Only to mount what the kernel cannot.
  t.deepEqual(users(/^node:child_process/), ['src/driver/mount-aufs.ts'])
  t.deepEqual(users(/^node:(?:net|http|https|http2|dgram|tls|dns)/), [])
})
