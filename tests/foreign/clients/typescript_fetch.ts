// Uses the client that openapi-generator's typescript-fetch writes: node typescript_fetch.js URL
import { Configuration, ResponseError, TasksApi, type Task } from "./client/index.js";

const api = new TasksApi(new Configuration({ basePath: process.argv[2] }));
const report = {
  abuseType: "MSG" as const,
  reportTextLen: 120,
  profileRating: 4.2,
  popularity: 3,
  lifetimeMatchesCreated: 57,
  reportId: null,
};
const image =
  "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAAT0lEQVR42gXBoRGDMAAAwL9kgbAJG8AK3QCJhFFQWDZgBJB1tK6uV1cZJCr8YxiO0orM9ZTOZ+A1NnkR+G0eGfW3QNS/8/Uh0vyrHdJaOtxFQRYsVPtYLAAAAABJRU5ErkJggg==";

function outputs(task: Task) {
  switch (task.model) {
    case "report_scorer":
      return { score: task.score };
    case "translator":
      return { translation: task.translation };
    case "text_classifier":
    case "image_classifier": {
      const { label, probability, labels, probabilities } = task;
      return { label, probability, labels, probabilities };
    }
  }
}

const submitted = await Promise.all([
  api.submit({ report: [report], priority: "high" }),
  api.submitTextClassifier({ document: [{ text: "The goalie made 40 saves." }] }),
  api.submitTranslator({ text: [{ text: "Life is like a box of chocolates.", source: "en", target: "ja" }] }),
  api.submitImageClassifier({ image: [{ image, topN: 2 }] }),
]);
const said: Record<string, unknown> = {};
for (const accepted of submitted) {
  const task = await api.readTask({ taskId: accepted.taskId, prefer: "wait=50" });
  said[task.model] = { task_id: task.taskId, model: task.model, status: task.status, ...outputs(task) };
}
said["predict"] = (await api.predict({ report })).score;
try {
  await api.predict({ report: { ...report, popularity: 9 } });
} catch (error) {
  if (error instanceof ResponseError) said["refused"] = await error.response.text();
}
console.log(JSON.stringify(said));
