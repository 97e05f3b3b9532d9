#!/usr/bin/env node
// Chooses which Node runs and whether from source or from the build; src/cli/main.ts does the rest.
// Kept to syntax that old versions of Node can parse: this file must be able to say "your Node is too old" itself.
import {spawn} from 'node:child_process'
import {existsSync, statSync} from 'node:fs'
import module from 'node:module'
import {homedir} from 'node:os'
import {join} from 'node:path'
import process from 'node:process'
import {fileURLToPath} from 'node:url'

const wanted = [24, 15]

if (isRecent(process.versions.node)) await start()
else startAgain(bundledNode())

function isRecent(version) {
  const [major, minor] = version.split('.').map(Number)
  return major > wanted[0] || (major === wanted[0] && minor >= wanted[1])
}

async function start() {
  // `imgtool ... | head` is a normal way to stop: leave quietly when the reader goes away. Commands whose output or verdict is
  // worth nothing then have set the exit code before.
  process.stdout.on('error', ({code}) => {
    if (code === 'EPIPE') process.exit(process.exitCode ?? 0)
    process.stderr.write(`Error: Cannot write to standard output: ${code}\n`)
    process.exit(74)
  })
  process.stderr.on('error', () => {})
  if (process.env.IMGTOOL_REEXEC) endWithParent()
  enableCompileCache()
  // A checkout runs from its source, so that there is no build step and no stale build; a package has no source.
  const source = new URL('../src/cli/main.ts', import.meta.url)
  const entry = existsSync(source) ? source : new URL('../dist/src/cli/main.js', import.meta.url)
  const {main} = await import(entry.href)
  await main(fileURLToPath(new URL('..', import.meta.url)), process.argv.slice(2))
}

// Who kills the process that was started means this one.
function endWithParent() {
  process.on('disconnect', () => process.kill(process.pid, 'SIGTERM'))
  process.channel?.unref()
}

// Compiled code is kept in the user's own cache. Node's default lies in the temporary directory, where somebody else
// could have put what is run then, perhaps as root.
function enableCompileCache() {
  const home = homedir()
  try {
    if (statSync(home).uid !== process.getuid()) return
  } catch {
    return
  }
  module.enableCompileCache(
    process.env.NODE_COMPILE_CACHE || join(process.env.XDG_CACHE_HOME || join(home, '.cache'), 'imgtool'),
  )
}

// The Node that a checkout brings along as a development dependency.
function bundledNode() {
  if (process.env.IMGTOOL_REEXEC) return undefined
  try {
    return module.createRequire(import.meta.url).resolve(`node-${process.platform}-${process.arch}/bin/node`)
  } catch {
    return undefined
  }
}

function startAgain(node) {
  if (node === undefined) {
    const found = `${process.version} (${process.execPath})`
    process.stderr.write(`Error: imgtool needs Node.js ${wanted.join('.')} or newer, this is ${found}\n`)
    process.exit(1)
  }
  const child = spawn(node, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], {
    env: {...process.env, IMGTOOL_REEXEC: '1'},
    // The channel closes when this process ends, whatever ends it.
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
  })
  const forward = (signal) => child.kill(signal)
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP']
  for (const signal of signals) process.on(signal, forward)
  child.on('exit', (status, signal) => {
    for (const name of signals) process.off(name, forward)
    if (signal === null) process.exitCode = status
    else process.kill(process.pid, signal)
  })
}
