/** One line on a terminal that says how far a long run is; nothing in pipes, nothing for runs that end at once. */
import type {Progress} from '../unpack.ts'

/** Milliseconds before the line appears. */
const delayMs = 500

export interface ProgressLine {
  readonly update: (progress: Progress) => void
  /** Takes the line away; may be called twice. */
  readonly stop: () => void
}

/** Starts a progress line on standard error. */
export function startProgress(verb: string, wanted: boolean): ProgressLine {
  if (!wanted || !process.stderr.isTTY) return {update: () => {}, stop: () => {}}
  const startedAt = performance.now()
  let bar: import('cli-progress').SingleBar | undefined
  let loading = false
  let latest: Progress | undefined
  let stopped = false
  const draw = async () => {
    loading = true
    const {SingleBar} = (await import('cli-progress')).default
    if (stopped || latest === undefined) return
    const format = `${verb} layer {layer}/{layers} [{bar}] {percentage}% ETA {eta_formatted}`
    bar = new SingleBar({clearOnComplete: true, format, hideCursor: true, stream: process.stderr})
    bar.start(latest.totalBytes, latest.bytes, {layer: latest.layer + 1, layers: latest.layers})
  }
  return {
    update: (progress) => {
      latest = progress
      if (bar !== undefined) bar.update(progress.bytes, {layer: progress.layer + 1})
      else if (!loading && performance.now() - startedAt > delayMs) void draw()
    },
    stop: () => {
      stopped = true
      bar?.stop()
      bar = undefined
    },
  }
}
