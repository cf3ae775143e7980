with

{{ told_bases() }},

proofs as (

    select * from {{ ref('int_node_hours__proved') }}
    where item = 'node_hour'

),

-- A month whose bill has no node-hour has nothing to prove, and says so.
final as (

    select
        bases.billing_month,
        bases.payer_account_id,
        bases.cost_basis,
        coalesce(proofs.expected_usd, 0) as expected_usd,
        coalesce(proofs.actual_usd, 0) as actual_usd,
        coalesce(proofs.worst_residual_usd, 0) as residual_usd,
        coalesce(proofs.worst_residual_usd, 0) = 0
        and coalesce(proofs.expected_usd = proofs.actual_usd, true) as is_passed,
        coalesce(proofs.node_hour_count, 0) || ' node-hours'
        || coalesce(', worst: ' || proofs.offender, '') as evidence
    from bases
    left join proofs
        on
            bases.billing_month = proofs.billing_month
            and bases.payer_account_id = proofs.payer_account_id
            and bases.cost_basis = proofs.cost_basis

)

select * from final
