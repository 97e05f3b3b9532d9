/** A dockerd of a test's own, with private data and no network set-up: the machine's other daemons stay untouched. Needs root. */
import {type ChildProcess, spawn} from 'node:child_process'
import {closeSync, mkdirSync, openSync, readFileSync} from 'node:fs'
import {join} from 'node:path'
import {setTimeout as sleep} from 'node:timers/promises'
import {run} from './run.ts'

export interface Dockerd {
  readonly host: string
  readonly dataRoot: string
  /** Of the containerd that it runs. */
  readonly containerdSocket: string
  /** Runs Debian's docker client, whose version is the daemon's; gives its standard output. */
  docker(...words: readonly string[]): Promise<string>
  /** The exact bytes of an image's config, as the daemon keeps them. */
  config(imageID: string): Buffer
  stop(): Promise<void>
}

/** Starts dockerd with everything it writes below `directory`, whose path is to be short: sockets have at most 107 bytes. Its pid is in `directory/dockerd.pid`. */
export async function startDockerd(
  directory: string,
  driver: 'overlay2' | 'overlay' | 'vfs' = 'overlay2',
): Promise<Dockerd> {
  mkdirSync(directory, {recursive: true})
  const host = `unix://${join(directory, 'docker.sock')}`
  const dataRoot = join(directory, 'data')
  const execRoot = join(directory, 'x')
  const containerdSocket = join(execRoot, 'containerd/containerd.sock')
  const daemon = spawnDaemon(directory, host, {dataRoot, execRoot}, driver)
  const docker = (...words: readonly string[]) => run('/usr/bin/docker', words, {env: {DOCKER_HOST: host}})
  const stop = () => stopDaemon(daemon)
  const content = join(dataRoot, 'image', driver, 'imagedb/content/sha256')
  const config = (imageID: string) => readFileSync(join(content, imageID.replace('sha256:', '')))
  await untilReady(daemon, docker, join(directory, 'dockerd.log'))
  return {host, dataRoot, containerdSocket, docker, config, stop}
}

function spawnDaemon(
  directory: string,
  host: string,
  {dataRoot, execRoot}: {readonly dataRoot: string; readonly execRoot: string},
  driver: string,
): ChildProcess {
  const places = ['--data-root', dataRoot, '--exec-root', execRoot, '--pidfile', join(directory, 'dockerd.pid')]
  const network = ['--iptables=false', '--ip6tables=false', '--ip-forward=false', '--bridge=none']
  const log = openSync(join(directory, 'dockerd.log'), 'w')
  const words = [...places, '-H', host, '--storage-driver', driver, ...network]
  const daemon = spawn('/usr/sbin/dockerd', words, {stdio: ['ignore', log, log]})
  closeSync(log)
  return daemon
}

async function untilReady(daemon: ChildProcess, docker: Dockerd['docker'], log: string): Promise<void> {
  for (let attempt = 0; attempt < 120; attempt++) {
    if (hasEnded(daemon)) break
    try {
      await docker('version')
      return
    } catch {
      await sleep(500)
    }
  }
  await stopDaemon(daemon)
  throw new Error(`dockerd did not start: ${readFileSync(log, 'utf8').slice(-2000)}`)
}

async function stopDaemon(daemon: ChildProcess): Promise<void> {
  if (hasEnded(daemon)) return
  const {promise, resolve} = Promise.withResolvers<void>()
  daemon.once('exit', () => resolve())
  daemon.kill('SIGTERM')
  await promise
}

function hasEnded(daemon: ChildProcess): boolean {
  return daemon.exitCode !== null || daemon.signalCode !== null
}
