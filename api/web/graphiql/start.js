// GraphiQL over this server's own endpoint. Development only; the token of `login` goes into the headers pane.
const query = `# 1. 登录，把 accessToken 填到左下角 Headers：{"Authorization": "Bearer …"}
mutation Login { login(input: {code: "dev:owner:alice"}) { accessToken userErrors { code message } } }

# 2. 查询自己的商户和钱包
query Wallets {
  viewer { displayName merchants { name status wallet { pending { amount } available { amount } } } }
}
`
const { GraphiQL, React, ReactDOM } = window
ReactDOM.createRoot(document.getElementById('graphiql')).render(
  React.createElement(GraphiQL, {
    fetcher: GraphiQL.createFetcher({ url: '/graphql' }),
    defaultQuery: query,
    defaultEditorToolsVisibility: 'headers',
  }),
)
