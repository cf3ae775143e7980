with

{{ told_bases() }},

node_hours as (

    select * from {{ ref('int_node_hours__proved') }}
    where item = 'node_hour'

),

resources as (

    select
        billing_month,
        payer_account_id,
        cost_basis,
        sum(expected_usd) as expected_usd,
        max(worst_residual_usd) as worst_residual_usd,
        max(item || ' of ' || offender) as offender
    from {{ ref('int_node_hours__proved') }}
    where item <> 'node_hour'
    group by billing_month, payer_account_id, cost_basis

),

final as (

    select
        bases.billing_month,
        bases.payer_account_id,
        bases.cost_basis,
        coalesce(node_hours.expected_usd, 0) as expected_usd,
        coalesce(resources.expected_usd, 0) as actual_usd,
        greatest(
            abs(coalesce(node_hours.expected_usd, 0) - coalesce(resources.expected_usd, 0)),
            coalesce(resources.worst_residual_usd, 0)
        ) as residual_usd,
        coalesce(node_hours.expected_usd, 0) = coalesce(resources.expected_usd, 0)
        and coalesce(resources.worst_residual_usd, 0) = 0 as is_passed,
        'accelerators, vCPUs and memory against the node-hour, and each against its parts'
        || coalesce(', worst: ' || resources.offender, '') as evidence
    from bases
    left join node_hours
        on
            bases.billing_month = node_hours.billing_month
            and bases.payer_account_id = node_hours.payer_account_id
            and bases.cost_basis = node_hours.cost_basis
    left join resources
        on
            bases.billing_month = resources.billing_month
            and bases.payer_account_id = resources.payer_account_id
            and bases.cost_basis = resources.cost_basis

)

select * from final
