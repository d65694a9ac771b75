// Uses openapi-fetch with the types that openapi-typescript writes: node openapi_fetch.js URL
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

type Task = components["schemas"]["Task"];
const client = createClient<paths>({ baseUrl: process.argv[2]! });
const report = {
  abuse_type: "MSG" as const,
  report_text_len: 120,
  profile_rating: 4.2,
  popularity: 3,
  lifetime_matches_created: 57,
  report_id: null,
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
  client.POST("/submit", { body: [report], params: { query: { priority: "high" } } }),
  client.POST("/models/text_classifier/submit", { body: [{ text: "The goalie made 40 saves." }] }),
  client.POST("/models/translator/submit", {
    body: [{ text: "Life is like a box of chocolates.", source: "en", target: "ja" }],
  }),
  client.POST("/models/image_classifier/submit", { body: [{ image, top_n: 2 }] }),
]);
const said: Record<string, unknown> = {};
for (const { data: accepted } of submitted) {
  const { data: task } = await client.GET("/task/{task_id}", {
    params: { path: { task_id: accepted!.task_id }, header: { Prefer: "wait=50" } },
  });
  said[task!.model] = { task_id: task!.task_id, model: task!.model, status: task!.status, ...outputs(task!) };
}
const { data: scored } = await client.POST("/predict", { body: report });
said["predict"] = scored && "score" in scored ? scored.score : null;
const { error } = await client.POST("/predict", { body: { ...report, popularity: 9 } });
said["refused"] = JSON.stringify(error!.errors);
console.log(JSON.stringify(said));
