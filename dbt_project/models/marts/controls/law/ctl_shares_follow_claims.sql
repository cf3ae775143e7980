with

{{ told_bases() }},

recomputed as (

    select
        *,
        -- Within a unit is as near as whole units come: no residual.
        case when offender is null then 0 else worst_residual_usd end as residual_usd
    from {{ ref('int_pod_costs__recomputed') }}

),

final as (

    select
        bases.billing_month,
        bases.payer_account_id,
        bases.cost_basis,
        0 as expected_usd,
        coalesce(recomputed.residual_usd, 0) as actual_usd,
        coalesce(recomputed.residual_usd, 0) as residual_usd,
        recomputed.offender is null as is_passed,
        coalesce(recomputed.pod_hour_count, 0) || ' pod-hours computed a second time'
        || coalesce(', worst: ' || recomputed.offender, '') as evidence
    from bases
    left join recomputed
        on
            bases.billing_month = recomputed.billing_month
            and bases.payer_account_id = recomputed.payer_account_id
            and bases.cost_basis = recomputed.cost_basis

)

select * from final
